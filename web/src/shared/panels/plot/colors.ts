/** Okabe-Ito, each with 3:1 against the page in its theme. */
const light = ['#0072B2', '#B45309', '#007A59', '#C14F00', '#A9568A', '#2A7DAF', '#6B5B00']
const dark = ['#3A9BDC', '#E69F00', '#00B386', '#F07838', '#CC79A7', '#56B4E9', '#F0E442']

export function seriesColor(index: number, isDark: boolean): string {
  const set = isDark ? dark : light
  return set[index % set.length] as string
}

/** Beyond colour: lines of one plot differ in their dashes, too. */
export function seriesDash(index: number): number[] {
  return [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 4]][index % 7] as number[]
}
