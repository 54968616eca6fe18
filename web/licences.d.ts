import type { Plugin } from 'vite'

export function packageOf(id: string): string | undefined
export function mayShip(expression: string): boolean
export function page(
  entries: Iterable<{ name: string; version: string; licence: string; text: string }>,
): string
export function licences(): { worker: () => Plugin[]; app: Plugin }
