import { useSyncExternalStore } from 'react'

export type Dialog =
  | { kind: 'start' | 'mark' | 'snapshot' | 'palette' }
  | {
      kind: 'confirm'
      title: string
      text: string
      danger?: boolean
      go: () => void | Promise<void>
    }

let open: Dialog | undefined
const listeners = new Set<() => void>()

function become(next: Dialog | undefined): void {
  open = next
  listeners.forEach((l) => l())
}

/** Opens one of the app's dialogs; one is open at a time. */
export function openDialog(dialog: Dialog): void {
  become(dialog)
}

export function closeDialog(): void {
  become(undefined)
}

export function useDialog(): Dialog | undefined {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l)
      return () => listeners.delete(l)
    },
    () => open,
  )
}
