/** Web mercator, as tiles use it; distances near the robot in true metres. */

const RADIUS = 6378137

export interface Fix {
  readonly lat: number
  readonly lon: number
}

export interface View {
  /** metres east and north of the robot that stand in the middle */
  dx: number
  dy: number
  /** metres of one CSS pixel */
  perPixel: number
}

export interface Metres {
  readonly x: number
  readonly y: number
}

/** Mercator metres; latitudes beyond 85 degrees are cut. */
export function project(f: Fix): Metres {
  const lat = Math.min(85, Math.max(-85, f.lat)) * (Math.PI / 180)
  return {
    x: RADIUS * f.lon * (Math.PI / 180),
    y: RADIUS * Math.log(Math.tan(Math.PI / 4 + lat / 2)),
  }
}

/** How much longer a metre is on the map than on the ground. */
export function stretch(lat: number): number {
  return 1 / Math.cos(Math.min(85, Math.max(-85, lat)) * (Math.PI / 180))
}

/** Round length (1, 2 or 5 times a power of ten) not above `metres`. */
export function roundLength(metres: number): number {
  const power = 10 ** Math.floor(Math.log10(metres))
  const part = metres / power
  return (part >= 5 ? 5 : part >= 2 ? 2 : 1) * power
}

export const WORLD = 2 * Math.PI * RADIUS

export interface Tile {
  readonly url: string
  /** mercator metres of its upper left corner, and its side */
  readonly left: number
  readonly top: number
  readonly side: number
}

/** The tiles that cover a part of the map; at most 64. */
export function tilesOf(
  template: string,
  min: Metres,
  max: Metres,
  metresPerPixel: number,
): Tile[] {
  const zoom = Math.min(19, Math.max(0, Math.round(Math.log2(WORLD / 256 / metresPerPixel))))
  const side = WORLD / 2 ** zoom
  const tiles: Tile[] = []
  const column = (x: number) => Math.floor((x + WORLD / 2) / side)
  const row = (y: number) => Math.floor((WORLD / 2 - y) / side)
  for (let y = Math.max(0, row(max.y)); y <= Math.min(2 ** zoom - 1, row(min.y)); y++) {
    for (let x = Math.max(0, column(min.x)); x <= Math.min(2 ** zoom - 1, column(max.x)); x++) {
      if (tiles.length === 64) return tiles
      const url = template
        .replace('{z}', String(zoom))
        .replace('{x}', String(x))
        .replace('{y}', String(y))
      tiles.push({ url, side, left: x * side - WORLD / 2, top: WORLD / 2 - y * side })
    }
  }
  return tiles
}
