import { notifications } from '@mantine/notifications'

import { ApiError } from '../api/client'
import { translate } from '../../i18n'

/** The sentence of an error for whoever looks. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError && error.status === 0) return translate('common:error.offline')
  return error instanceof Error ? error.message : String(error)
}

function close() {
  return { closeButtonProps: { 'aria-label': translate('common:close') } }
}

export const notify = {
  ok(message: string): void {
    notifications.show({ message, color: 'green', autoClose: 4000, ...close() })
  },
  bad(error: unknown): void {
    notifications.show({
      title: translate('common:error.title'),
      message: errorText(error),
      color: 'red',
      autoClose: 12_000,
      ...close(),
    })
  },
}
