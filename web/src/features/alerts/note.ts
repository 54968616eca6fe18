/** What the API takes. */
export const NOTE_BYTES = 255

/** Length as it is sent: umlauts are two bytes, most signs of other scripts three. */
export function bytesOf(text: string): number {
  return new TextEncoder().encode(text.trim()).length
}
