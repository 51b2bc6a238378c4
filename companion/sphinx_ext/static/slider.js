// A slider leads through the steps of a table that its page holds (companion.slider).
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.companion-slider")) {
    const { steps, values } = JSON.parse(figure.querySelector("script").textContent);
    const input = figure.querySelector("input");
    const rows = [...figure.querySelectorAll("tbody tr")];
    const show = () => {
      const step = String(steps[input.value]);
      figure.querySelector("output").textContent = step;
      figure.querySelector(".step").textContent = step;
      input.setAttribute("aria-valuetext", step);
      rows.forEach((row, number) => {
        const at = values[input.value][number];
        const [range, mean] = [row.querySelector(".range"), row.querySelector(".mean")];
        range.hidden = mean.hidden = !at;
        row.lastElementChild.textContent = at ? at[3] : "–";
        if (!at) return;
        mean.style.left = `${at[0]}%`;
        range.style.left = `${at[1]}%`;
        range.style.width = `${at[2]}%`;
      });
    };
    input.addEventListener("input", show);
    input.closest("p").hidden = false;
    show();
  }
});
