import { Component, type ReactNode } from 'react'

import { ErrorState } from './states'

interface State {
  error: unknown
}

/** A fault of one page leaves the rest of the app standing. */
export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { error: undefined }

  static getDerivedStateFromError(error: unknown): State {
    return { error }
  }

  override render() {
    if (this.state.error === undefined) return this.props.children
    return <ErrorState error={this.state.error} retry={() => this.setState({ error: undefined })} />
  }
}
