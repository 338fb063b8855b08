// SPDX-License-Identifier: Apache-2.0
// Airflow's light or dark theme. No theme is passed to the frame: the page around it, of the same origin, shows it.

export function followTheme() {
  const own = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let outside = null;
  try {
    outside = window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    outside = null; // embedded by another origin: the browser's own setting then
  }

  function apply() {
    const told = outside?.classList.contains("dark") ? "dark" : outside?.classList.contains("light") ? "light" : null;
    own.dataset.theme = told ?? outside?.dataset.theme ?? (dark.matches ? "dark" : "light");
    const ground = outside ? groundOf(outside) : null;
    if (ground) own.style.setProperty("--ground", ground);
    else own.style.removeProperty("--ground");
  }

  apply();
  dark.addEventListener("change", apply);
  if (outside) new MutationObserver(apply).observe(outside, { attributeFilter: ["class", "data-theme", "style"] });
}

// The page around it has a ground of its own, which no attribute tells.
function groundOf(root) {
  const { body, defaultView } = root.ownerDocument;
  const colours = [body, root].map((each) => defaultView.getComputedStyle(each).backgroundColor);
  return colours.find((colour) => colour && !/^(transparent|rgba\(.*, 0\))$/.test(colour));
}
