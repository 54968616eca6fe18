/*
 * Icons as strokes on a grid of 24. Drawn here: a set from a package would be larger than all of them.
 */
const paths = {
  ok: 'M5 12.5l4.5 4.5L19 7.5',
  warn: 'M12 4l9 16H3z M12 10v4 M12 17v.5',
  bad: 'M12 3a9 9 0 100 18 9 9 0 000-18z M9 9l6 6 M15 9l-6 6',
  idle: 'M12 3a9 9 0 100 18 9 9 0 000-18z M8 12h8',
  unknown:
    'M12 3a9 9 0 100 18 9 9 0 000-18z M9.5 9.5a2.5 2.5 0 113.5 2.3c-.7.4-1 .9-1 1.7 M12 17v.3',
  record: 'M12 3a9 9 0 100 18 9 9 0 000-18z M12 8a4 4 0 100 8 4 4 0 000-8z',
  stop: 'M6 6h12v12H6z',
  pause: 'M8 5v14 M16 5v14',
  play: 'M7 5l12 7-12 7z',
  split: 'M12 3v18 M8 8l-4 4 4 4 M16 8l4 4-4 4',
  mark: 'M6 21V4h11l-2.5 4L17 12H6',
  snapshot: 'M4 8h4l2-3h4l2 3h4v11H4z M12 10a3.5 3.5 0 100 7 3.5 3.5 0 000-7z',
  sync: 'M7 18a4.5 4.5 0 01-.5-9A6 6 0 0118 9.5a4.3 4.3 0 01-.5 8.5 M12 20v-8 M9 14.5l3-3 3 3',
  overview: 'M4 13h7V4H4z M13 20h7v-9h-7z M4 20h7v-4H4z M13 8h7V4h-7z',
  topics: 'M4 6h16 M4 12h16 M4 18h10',
  live: 'M3 12h4l3-8 4 16 3-8h4',
  sessions: 'M4 5h16v4H4z M4 11h16v8H4z M8 15h4',
  replay: 'M4 12a8 8 0 108-8H7 M10 1L7 4l3 3 M11 9l4 3-4 3z',
  alerts: 'M6 17V11a6 6 0 0112 0v6l2 2H4z M10 21h4',
  jobs: 'M4 6h10 M4 12h16 M4 18h7 M18 4l2 2 M16 16l2 2 3-4',
  logs: 'M5 3h14v18H5z M8 8h8 M8 12h8 M8 16h5',
  storage: 'M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0z M4 6c0 4 16 4 16 0 M4 12c0 4 16 4 16 0',
  system:
    'M6 6h12v12H6z M10 10h4v4h-4z M9 2v4 M15 2v4 M9 18v4 M15 18v4 M2 9h4 M2 15h4 M18 9h4 M18 15h4',
  settings:
    'M4 7h10 M18 7h2 M4 17h4 M12 17h8 M16 5a2 2 0 100 4 2 2 0 000-4z M10 15a2 2 0 100 4 2 2 0 000-4z',
  robot: 'M5 9h14v10H5z M12 5v4 M9 13v2 M15 13v2 M2 13v3 M22 13v3 M12 3.5v1',
  user: 'M12 4a4 4 0 100 8 4 4 0 000-8z M4 21c0-8 16-8 16 0',
  search: 'M10 4a6 6 0 100 12 6 6 0 000-12z M15 15l5 5',
  sun: 'M12 7a5 5 0 100 10 5 5 0 000-10z M12 1v3 M12 20v3 M1 12h3 M20 12h3 M4 4l2 2 M18 18l2 2 M20 4l-2 2 M4 20l2-2',
  moon: 'M20 14A8.5 8.5 0 119.5 3.5 7 7 0 0020 14z',
  contrast: 'M12 3a9 9 0 100 18 9 9 0 000-18z M12 3v18 M12 7h6 M12 12h9 M12 17h6',
  language: 'M12 3a9 9 0 100 18 9 9 0 000-18z M3 12h18 M12 3c-5 5-5 13 0 18 M12 3c5 5 5 13 0 18',
  clock: 'M12 3a9 9 0 100 18 9 9 0 000-18z M12 7v5l3.5 2',
  close: 'M6 6l12 12 M18 6L6 18',
  plus: 'M12 5v14 M5 12h14',
  minus: 'M5 12h14',
  trash: 'M4 7h16 M9 7V4h6v3 M6 7l1 14h10l1-14',
  edit: 'M4 20l1-5L16 4l4 4L9 19z',
  download: 'M12 4v11 M7 11l5 5 5-5 M4 20h16',
  external: 'M14 4h6v6 M20 4l-9 9 M18 14v6H4V6h6',
  lock: 'M6 11h12v10H6z M8 11V8a4 4 0 018 0v3',
  next: 'M9 5l7 7-7 7',
  previous: 'M15 5l-7 7 7 7',
  down: 'M5 9l7 7 7-7',
  up: 'M5 15l7-7 7 7',
  menu: 'M4 6h16 M4 12h16 M4 18h16',
  grid: 'M4 4h7v7H4z M13 4h7v7h-7z M4 13h7v7H4z M13 13h7v7h-7z',
  more: 'M5 12h.01 M12 12h.01 M19 12h.01',
  copy: 'M8 8h12v12H8z M16 8V4H4v12h4',
  network: 'M12 18.5v.5 M8.5 15a5 5 0 017 0 M5 11.5a10 10 0 0114 0 M2 8a14.5 14.5 0 0120 0',
  expand: 'M4 10V4h6 M20 14v6h-6 M4 4l7 7 M20 20l-7-7',
  loop: 'M17 2l4 4-4 4 M21 6H7a4 4 0 00-4 4v1 M7 22l-4-4 4-4 M3 18h14a4 4 0 004-4v-1',
  step: 'M6 5l9 7-9 7z M18 5v14',
} as const

export type IconName = keyof typeof paths

interface IconProps {
  name: IconName
  size?: number
  color?: string
  /** for the few icons that stand without a word */
  label?: string
}

export function Icon({ name, size = 18, color, label }: IconProps) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke={color ?? 'currentColor'}
      strokeWidth={2}
      strokeLinecap="round"
      strokeLinejoin="round"
      role={label === undefined ? undefined : 'img'}
      aria-label={label}
      aria-hidden={label === undefined ? true : undefined}
      focusable="false"
      className="bp-icon"
    >
      <path d={paths[name]} />
    </svg>
  )
}
