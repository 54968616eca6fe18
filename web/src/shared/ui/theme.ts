import { createTheme, type CSSVariablesResolver, useComputedColorScheme } from '@mantine/core'

/** Shades that reach AA with white or black text on them (4.5:1). */
export const theme = createTheme({
  primaryColor: 'cyan',
  primaryShade: { light: 9, dark: 9 },
  autoContrast: true,
  respectReducedMotion: true,
  cursorType: 'pointer',
  defaultRadius: 'md',
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: '600' },
  components: {
    // what scrolls can be scrolled by keys
    TableScrollContainer: {
      defaultProps: { scrollAreaProps: { viewportProps: { tabIndex: 0 } } },
    },
    // Its element with a tabindex is nothing that a menu may have; the first item takes the focus.
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } },
  },
})

export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': 'var(--mantine-color-gray-7)',
    // words on a light ground of their colour, also under the mouse: those of the palette lack contrast
    '--mantine-color-cyan-light-color': '#084c59',
    '--mantine-color-red-light-color': '#8f1d1d',
    '--mantine-color-orange-light-color': '#7a2f00',
    '--mantine-color-yellow-light-color': '#6b3a00',
    '--mantine-color-green-light-color': '#1b5a29',
    '--mantine-color-teal-light-color': '#05503a',
    '--mantine-color-placeholder': 'var(--mantine-color-gray-7)',
    '--mantine-color-error': '#b3261e',
    '--bp-ok': '#2b6a30',
    '--bp-warn': '#8a4b00',
    '--bp-bad': '#b3261e',
    '--bp-idle': '#495057',
  },
  dark: {
    '--mantine-color-dimmed': 'var(--mantine-color-dark-1)',
    '--mantine-color-placeholder': 'var(--mantine-color-dark-1)',
    '--mantine-color-error': '#ff8787',
    '--bp-ok': '#69db7c',
    '--bp-warn': '#ffc078',
    '--bp-bad': '#ff8787',
    '--bp-idle': '#c1c2c5',
  },
})

/** The same for high contrast: no dimmed text, stronger lines. */
export const cssVariablesHigh: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#000000',
    '--mantine-color-placeholder': '#000000',
    '--mantine-color-error': '#8c0000',
    '--mantine-color-text': '#000000',
    '--mantine-color-default-border': '#000000',
    '--bp-ok': '#1b4d1f',
    '--bp-warn': '#5c3200',
    '--bp-bad': '#8c0000',
    '--bp-idle': '#000000',
  },
  dark: {
    '--mantine-color-body': '#000000',
    '--mantine-color-dimmed': '#ffffff',
    '--mantine-color-placeholder': '#ffffff',
    '--mantine-color-error': '#ffa8a8',
    '--mantine-color-text': '#ffffff',
    '--mantine-color-default-border': '#ffffff',
    '--bp-ok': '#8ce99a',
    '--bp-warn': '#ffd8a8',
    '--bp-bad': '#ffa8a8',
    '--bp-idle': '#ffffff',
  },
})

export interface Colors {
  /** Okabe-Ito, those darkened or lightened that would fall below 3:1 on the background */
  series: string[]
  grid: string
  axis: string
  text: string
  background: string
  ok: string
  warn: string
  bad: string
}

const light: Colors = {
  series: ['#0072B2', '#B87800', '#008560', '#C04F00', '#B5588F', '#1F84BD', '#444444'],
  grid: '#e3e6ea',
  axis: '#5c636a',
  text: '#212529',
  background: '#ffffff',
  ok: '#2b6a30',
  warn: '#8a4b00',
  bad: '#b3261e',
}

const dark: Colors = {
  series: ['#4BA3D8', '#E69F00', '#22B98C', '#F0752B', '#E08BBB', '#56B4E9', '#D0D0D0'],
  grid: '#3a3d42',
  axis: '#a6a7ab',
  text: '#e9ecef',
  background: '#242424',
  ok: '#69db7c',
  warn: '#ffc078',
  bad: '#ff8787',
}

/** Colours of the theme for what is drawn on a canvas. */
export function useColors(): Colors {
  return useComputedColorScheme('dark') === 'dark' ? dark : light
}
