// Sets the theme before the first paint. A file of its own, as the policy allows no inline script.
;(function () {
  var scheme = 'auto'
  try {
    scheme = localStorage.getItem('bagpipe.scheme') || 'auto'
  } catch (e) {
    // Storage may be forbidden; then the system's wish counts.
  }
  var dark = scheme === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : scheme !== 'light'
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light')
})()
