// A page opened from disk may not fetch other pages: leave out the excerpts under search results.
if (window.location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// One switch shows or hides all code of a page; without this script every cell has its own.
document.addEventListener("DOMContentLoaded", () => {
  const folds = document.querySelectorAll("div.cell details.hide");
  if (!folds.length) return;
  const button = document.createElement("button");
  button.className = "companion-code btn btn-outline-primary btn-sm";
  const set = (shown) => {
    for (const fold of folds) fold.open = shown;
    button.setAttribute("aria-pressed", shown);
    button.textContent = shown ? "Hide the code of this page" : "Show the code of this page";
  };
  button.addEventListener("click", () => set(button.getAttribute("aria-pressed") === "false"));
  set(false);
  document.documentElement.classList.add("companion-one-switch");
  document.querySelector("article h1").after(button);
});

// The arrow that unfolds a dataset in the sidebar has no words of its own.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("nav.bd-docs-nav li > details > summary")) {
    const dataset = arrow.closest("li").querySelector("a").textContent;
    arrow.setAttribute("aria-label", `Chapters on ${dataset}`);
  }
});

// A table, or a figure on a phone, that is wider than its box says so, and the box can be reached
// and scrolled by keyboard. Below the list of contents a table takes the free space first: the theme
// hides the list while what it finds there, before it starts, is in sight; without a list it fails.
document.addEventListener("readystatechange", () => {
  const contents = document.querySelector("div.bd-sidebar-secondary");
  const mark = () => {
    for (const shown of document.querySelectorAll("article :is(table, div.output img)")) {
      let box = shown.parentElement;
      while (box && getComputedStyle(box).overflowX !== "auto") box = box.parentElement;
      if (!box || box.matches("body, pre") || !shown.checkVisibility()) continue;
      if (contents && shown.matches("div.output :is(.dataframe, .scoreboard)")) {
        box.classList.add("full-width");
        const taken = Math.min(shown.offsetWidth, box.clientWidth);
        box.classList.toggle("full-width", taken > box.parentElement.clientWidth);
      }
      const wide = box.scrollWidth > box.clientWidth + 1;
      box.classList.toggle("companion-wide", wide);
      if (!wide) continue;
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      const what = shown.matches("img") ? "figure" : "table";
      box.setAttribute("aria-label", `A wide ${what}: scroll sideways`);
    }
  };
  if (document.readyState === "interactive") {
    window.addEventListener("resize", mark);
    document.addEventListener("toggle", mark, true);
  }
  mark();
});
