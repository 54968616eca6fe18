import type { Shape, TransformOf } from './shapes'

export interface SceneOptions {
  /** fixed frame; '': the root of most frames */
  frame: string
  /** frame that stays in the middle; '': none */
  follow: string
  dark: boolean
}

export interface CloudData {
  topic: string
  frameId: string
  points: number
  flags: number
  bytes: ArrayBuffer
}

export type ToScene =
  | { do: 'start'; canvas: OffscreenCanvas; options: SceneOptions }
  | { do: 'size'; width: number; height: number; ratio: number }
  | { do: 'options'; options: SceneOptions }
  | { do: 'cloud'; cloud: CloudData }
  | { do: 'shapes'; topic: string; shapes: Shape[] }
  | { do: 'transforms'; transforms: TransformOf[] }
  | { do: 'turn'; dx: number; dy: number }
  | { do: 'pan'; dx: number; dy: number }
  | { do: 'zoom'; by: number }
  | { do: 'home' }
  | { do: 'clear' }

export type FromScene =
  | { is: 'started' }
  | { is: 'failed'; why: string }
  | { is: 'drawn'; topic: string }
  | { is: 'frames'; fixed: string; missing: string[] }
