// A page opened from disk may not fetch other pages: leave out the excerpts under search results.
if (window.location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
