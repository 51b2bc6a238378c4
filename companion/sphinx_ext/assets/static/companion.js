// A page opened from disk may not fetch other pages: leave out the excerpts under search results.
if (window.location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// A figure leads to itself in full size: on a phone its words are small.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll("div.cell_output img")) {
    const link = document.createElement("a");
    link.href = picture.src;
    picture.replaceWith(link);
    link.append(picture);
  }
});

// The arrow that unfolds a dataset in the sidebar has no words of its own.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("nav.bd-docs-nav li > details > summary")) {
    const dataset = arrow.closest("li").querySelector("a").textContent;
    arrow.setAttribute("aria-label", `Chapters on ${dataset}`);
  }
});
