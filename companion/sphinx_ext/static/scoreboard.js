// The scoreboard, questioned: a reader moves the thresholds of the rules, chooses the nulls that a
// finding is held against and how its significance is counted, and the table shows the verdicts.
//
// Rules, records and conventions are in the page (companion.scoreboard.questions). Verdicts are
// those of lib.claims and p-values those of lib.claims.p_value and lib.stats.holm: a test holds both
// sides equal. Without this script, and wherever it fails, the table shows the published verdicts.
"use strict";

const scoreboard = (() => {
  const HOLDS = "holds";
  const PARTLY = "depends on width";
  const NOT_BEYOND = "holds, but not beyond its null";
  const FAILS = "does not hold";
  const UNDECIDED = "undecided";
  const UNTESTABLE = "not testable here";
  const NO_INSTRUMENT = "no calibrated instrument";
  const LEVEL = 0.05;

  // ---- Rules: comparisons, and/or, + - * / and measures as name.mean, name.low, name.high, name.n

  const TOKEN = /\s*(?:(\d+(?:\.\d*)?)|([A-Za-z_]\w*\.(?:mean|low|high|n)\b)|(?:and|or)\b|[<>]=?|[-+*/()])/y;

  /** Return the tree of a rule: {op, parts} with the source of each part, {value} or {name, end}. */
  function parse(rule) {
    const tokens = [];
    TOKEN.lastIndex = 0;
    while (rule.slice(TOKEN.lastIndex).trim()) {
      const found = TOKEN.exec(rule);
      if (!found) throw new Error(`the rule “${rule}” cannot be read`);
      tokens.push({ text: found[0].trim(), number: found[1], measure: found[2], end: TOKEN.lastIndex });
    }
    let at = 0;
    const ahead = (...texts) => at < tokens.length && texts.includes(tokens[at].text);

    function chain(word, part) { // "a and b and c" is one node
      const parts = [part()];
      while (ahead(word) && ++at) parts.push(part());
      return parts.length > 1 ? { op: word, parts } : parts[0];
    }
    function leftward(ops, part) { // "a - b - c" is (a - b) - c
      let node = part();
      while (ahead(...ops)) node = { op: tokens[at++].text, parts: [node, part()] };
      return node;
    }
    const either = () => chain("or", () => chain("and", comparison));
    function comparison() {
      const start = at ? tokens[at - 1].end : 0;
      const left = sum();
      if (!ahead("<", "<=", ">", ">=")) return left;
      const node = { op: tokens[at++].text, parts: [left, sum()] };
      return { ...node, source: rule.slice(start, tokens[at - 1].end).trim() };
    }
    const sum = () => leftward(["+", "-"], () => leftward(["*", "/"], unary));
    const unary = () => (ahead("-") && ++at ? { op: "negative", parts: [unary()] } : atom());
    function atom() {
      const token = tokens[at++];
      if (token?.number) return { value: Number(token.number) };
      if (token?.measure) {
        const [name, end] = token.measure.split(".");
        return { name, end };
      }
      if (token?.text !== "(") throw new Error(`the rule “${rule}” cannot be read`);
      const inside = either();
      if (!ahead(")")) throw new Error(`the rule “${rule}” lacks a bracket`);
      at += 1;
      return inside;
    }
    const tree = either();
    if (at < tokens.length) throw new Error(`the rule “${rule}” cannot be read to its end`);
    return tree;
  }

  const OPERATORS = {
    and: (...parts) => parts.every(Boolean), or: (...parts) => parts.some(Boolean),
    negative: (a) => -a, "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b,
    "/": (a, b) => a / b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b,
    ">=": (a, b) => a >= b,
  };

  function evaluate(node, measures) {
    if ("value" in node) return node.value;
    if (node.name) return measures[node.name][node.end];
    return OPERATORS[node.op](...node.parts.map((part) => evaluate(part, measures)));
  }

  const namesIn = (node) => (node.name ? [node.name] : (node.parts ?? []).flatMap(namesIn));
  /** Return the conditions of a conjunction, each with the name that a link gives it. */
  function conditions(rule) {
    if (!rule) return [];
    const tree = parse(rule);
    return (tree.op === "and" ? tree.parts : [tree]).map((part) => ({
      source: part.source, names: namesIn(part), key: part.source.match(/[A-Za-z_]\w*\.\w+/)[0],
    }));
  }

  /** Return a rule with the thresholds of a setting in place of the published ones. */
  function adapted(rule, setting, thresholds) {
    const become = {};
    for (const [name, { value, written }] of Object.entries(thresholds)) {
      for (const [text, formula] of Object.entries(written)) {
        const moved = setting[name] !== value;
        become[text] = moved ? formula.replaceAll(name, String(setting[name])) : text;
      }
    }
    const texts = Object.keys(become).map((text) => text.replaceAll(".", "\\."));
    const written = new RegExp(`(?<![\\w.])(?:${texts.join("|")})(?![\\w.])`, "g");
    return rule.replace(written, (text) => become[text]);
  }

  // ---- Verdicts and p-values, as in lib.claims and lib.stats

  /** Return the word of a verdict; rules are strings, an empty one is none. */
  function judge({ holds, beyond, partly, instrument, able }, measures) {
    const lacking = (node) => namesIn(node).some((name) => Number.isNaN(measures[name].mean));
    const [rule, less] = [holds, partly].map((text) => text && parse(text));
    let nulls = beyond && parse(beyond);
    if (nulls && instrument && lacking(nulls)) nulls = ""; // lists alone have no matched null
    if (nulls && able && !evaluate(parse(able), measures)) nulls = ""; // the margin is out of reach
    if (lacking(rule) || (nulls && lacking(nulls))) return UNTESTABLE;
    if (!evaluate(rule, measures)) {
      if (less && evaluate(less, measures)) return PARTLY;
      return evaluate(rule, each(measures, turned)) ? UNDECIDED : FAILS;
    }
    if (!nulls) return NO_INSTRUMENT;
    return evaluate(nulls, measures) ? HOLDS : instrument ? UNDECIDED : NOT_BEYOND;
  }

  const each = (measures, change) =>
    Object.fromEntries(Object.entries(measures).map(([name, of]) => [name, change(of)]));
  const turned = (of) => ({ ...of, low: of.high, high: of.low });
  const atMean = (of) => ({ ...of, low: of.mean, high: of.mean });

  /** Return the two-sided p-value of a rule by the delta method; 1 if the means alone fail it. */
  function pValue(rule, measures) {
    if (Object.values(measures).some((of) => Number.isNaN(of.mean))) return 1;
    const means = each(measures, atMean);
    const lead = (node, given) => {
      const [left, right] = node.parts.map((part) => evaluate(part, given));
      return node.op.startsWith(">") ? left - right : right - left;
    };
    const pOf = (node) => {
      if (node.op === "and") return Math.max(...node.parts.map(pOf));
      if (node.op === "or") return Math.min(...node.parts.map(pOf));
      const apart = lead(node, means);
      const error = Math.hypot(
        ...Object.entries(measures).map(([name, of]) => apart - lead(node, { ...means, [name]: of })),
      );
      const z = error ? (1.959963984540054 * apart) / error : Infinity;
      return apart > 0 ? erfc(z / Math.SQRT2) : 1;
    };
    return pOf(parse(rule));
  }

  /** Return the complementary error function of x > 0: a series, or a continued fraction. */
  function erfc(x) {
    const scale = Math.exp(-x * x) / Math.sqrt(Math.PI);
    if (x > 2.5) {
      let below = x;
      for (let n = 80; n > 0; n -= 1) below = x + n / 2 / below;
      return scale / below;
    }
    let [term, total] = [2 * x, 0];
    for (let n = 1; n < 80; n += 1) {
      total += term;
      term *= (2 * x * x) / (2 * n + 1);
    }
    return 1 - scale * total;
  }

  /** Return p-values corrected by Holm's procedure; NaN stays NaN and is no test. */
  function holm(values) {
    const order = [...values.keys()].filter((i) => !Number.isNaN(values[i]));
    order.sort((a, b) => values[a] - values[b]);
    const corrected = values.map(() => NaN);
    let least = 0;
    order.forEach((i, rank) => {
      least = Math.min(1, Math.max(least, values[i] * (order.length - rank)));
      corrected[i] = least;
    });
    return corrected;
  }

  // ---- A page's data and settings

  /** Return a page's data with its measures as objects; an error says what cannot be read. */
  function read(text) {
    const data = JSON.parse(text);
    for (const [id, claim] of Object.entries(data.claims)) {
      data.claims[id] = { ...claim, nulls: conditions(claim.beyond) };
    }
    data.records = data.records.map((record) => {
      const where = `the record of ${record.claim} on ${record.dataset}`;
      if (!data.claims[record.claim]) throw new Error(`${where} is of a claim without a rule`);
      const measures = each(record.measures ?? {}, (of) => {
        if (of?.length !== 4) throw new Error(`${where} has a measure without its interval`);
        const [mean, low, high, n] = of.map((x) => x ?? NaN);
        return { mean, low, high, n };
      });
      return { ...record, measures };
    });
    return data;
  }

  /** Return the published setting: thresholds, the nulls kept by claim, and which p is asked for. */
  const published = ({ thresholds, claims }) => ({
    ...Object.fromEntries(Object.entries(thresholds).map(([name, { value }]) => [name, value])),
    p: "holm",
    nulls: each(claims, (claim) => claim.nulls.map((null_) => null_.key)),
  });

  /** Return by record: word, p, Holm's p and for how many tests, outside, and whether it stands. */
  function verdicts({ claims, records, thresholds }, setting) {
    const rules = {};
    for (const [id, { holds, beyond, partly, nulls, instrument, able }] of Object.entries(claims)) {
      const kept = nulls.filter(({ key }) => setting.nulls[id].includes(key));
      const all = kept.length === nulls.length;
      const asked = { holds, partly, beyond: all ? beyond : kept.map((of) => of.source).join(" and ") };
      rules[id] = { ...each(asked, (rule) => adapted(rule, setting, thresholds)), instrument, able };
    }
    const found = records.map(({ claim, dataset, recorded, measures }) => {
      const [names, rule] = [Object.keys(claims[claim].measures), rules[claim]];
      if (recorded === UNTESTABLE || !names.every((name) => name in measures)) {
        return { word: UNTESTABLE, p: NaN, outside: false };
      }
      const of = Object.fromEntries(names.map((name) => [name, measures[name]]));
      const word = judge(rule, of);
      const p = rule.beyond ? pValue(`(${rule.holds}) and (${rule.beyond})`, of) : NaN;
      const premise = records.find((one) => one.claim === claims[claim].premise && one.dataset === dataset);
      const known = premise && !Object.values(premise.measures).some(({ mean }) => Number.isNaN(mean));
      const met = () => evaluate(parse(rules[premise.claim].holds), premise.measures);
      return { word, p, outside: Boolean(word !== UNTESTABLE && known && !met()) };
    });
    // worlds that are simulated are the same for every dataset: one test
    const first = records.map(({ claim }, i) =>
      claims[claim].family === "theory" ? records.findIndex((one) => one.claim === claim) : i);
    const once = found.map(({ p }, i) => (first[i] === i ? p : NaN));
    const [corrected, tests] = [holm(once), once.filter((p) => !Number.isNaN(p)).length];
    return found.map((of, i) => {
      const both = { ...of, holm: Number.isNaN(of.p) ? NaN : corrected[first[i]], tests };
      return { ...both, stands: both[setting.p === "raw" ? "p" : "holm"] < LEVEL };
    });
  }

  /** Return a setting as the fragment of a link: what differs from the published one. */
  function written(data, setting) {
    const usual = published(data);
    const simple = [...Object.keys(data.thresholds), "p"].filter((n) => setting[n] !== usual[n]);
    const nulls = Object.keys(data.claims).filter(
      (id) => setting.nulls[id].length < usual.nulls[id].length);
    return [...simple.map((name) => `${name}=${setting[name]}`),
      ...nulls.map((id) => `${id}=${setting.nulls[id].join(",") || "none"}`)].join("&");
  }

  /** Return the setting of a link's fragment; an error says what in it is unknown. */
  function fromLink(data, fragment) {
    const setting = published(data);
    for (const [name, value] of new URLSearchParams(fragment)) {
      if (Object.hasOwn(data.thresholds, name)) {
        const { low, high } = data.thresholds[name];
        if (!/^\d(\.\d\d?)?$/.test(value) || value < low || value > high) {
          const bounds = `${low.toFixed(2)} to ${high.toFixed(2)}`;
          throw new Error(`${name} is ${value || "empty"}, not a number from ${bounds} with two decimals`);
        }
        setting[name] = Number(value);
      } else if (name === "p") {
        if (!["holm", "raw"].includes(value)) throw new Error(`p is ${value}, not holm or raw`);
        setting.p = value;
      } else if (Object.hasOwn(data.claims, name) && data.claims[name].nulls.length) {
        const [keys, known] = [value === "none" ? [] : value.split(","), published(data).nulls[name]];
        const other = keys.find((key) => !known.includes(key));
        if (other !== undefined) throw new Error(`${name} has no null “${other}”`);
        setting.nulls[name] = known.filter((key) => keys.includes(key));
      } else {
        throw new Error(`“${name}” is no setting`);
      }
    }
    return setting;
  }

  return { HOLDS, UNTESTABLE, read, published, verdicts, written, fromLink, erfc };
})();

// ---- The page: controls over the table, nulls in its rows, and what moved

document.addEventListener("DOMContentLoaded", () => {
  const source = document.getElementById("scoreboard-data");
  const table = document.querySelector("table.scoreboard");
  if (!source || !table) return;

  function element(tag, properties = {}, ...inside) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...inside);
    return made;
  }
  const problem = element("p", { role: "alert", className: "problem" });
  const form = element("form", { className: "question", ariaLabel: "Question the rules" }, problem);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.parentElement.before(form);

  let data, usual, setting;
  try {
    data = scoreboard.read(source.textContent);
    setting = scoreboard.published(data);
    usual = scoreboard.verdicts(data, setting);
    const other = data.records.find((record, i) => record.verdict !== usual[i].word);
    if (other) throw new Error(`${other.claim} on ${other.dataset} comes out otherwise`);
  } catch (fault) {
    problem.textContent = "The rules cannot be questioned on this page " +
      `(${fault.message}): the table shows the published verdicts.`;
    return;
  }

  // Controls. Each shows what the setting is when update is called.
  const updates = [];
  for (const [name, { label, low, high, value, inverse }] of Object.entries(data.thresholds)) {
    const said = (x) => x.toFixed(2) + (inverse ? ` to ${(1 / x).toFixed(2)}` : "");
    const input = element("input", { type: "range", id: `question-${name}`, min: low, max: high, step: 0.01 });
    const shown = element("span");
    input.addEventListener("input", () => change({ [name]: Number(input.value) }));
    updates.push(() => {
      input.value = setting[name];
      const before = setting[name] === value ? "" : ` (published: ${said(value)})`;
      shown.textContent = input.ariaValueText = said(setting[name]) + before;
    });
    form.append(element("div", {}, element("label", { htmlFor: input.id, textContent: label }), input, shown));
  }
  const select = element("select", { id: "question-p" },
    element("option", { value: "holm", textContent: "after Holm's correction over all tests" }),
    element("option", { value: "raw", textContent: "by each test alone" }));
  select.addEventListener("change", () => change({ p: select.value }));
  updates.push(() => { select.value = setting.p; });
  const reset = element("button",
    { type: "button", className: "btn btn-sm", textContent: "Back to the published setting" });
  reset.addEventListener("click", () => change(scoreboard.published(data)));
  const count = element("p", { role: "status" });
  const moves = element("ul");
  const words = element("label", { htmlFor: select.id, textContent: "A finding is significant at 0.05" });
  form.append(element("div", {}, words, select), reset, count, moves);

  const cells = new Map();
  for (const row of table.querySelectorAll("tr[data-claim]")) {
    const id = row.dataset.claim;
    for (const cell of row.querySelectorAll("td")) cells.set(`${id} ${cell.dataset.dataset}`, cell);
    const { nulls, measures } = data.claims[id];
    if (!nulls.length) continue;
    const summary = element("summary");
    updates.push(() => {
      const of = `${setting.nulls[id].length} of ${nulls.length} condition${nulls.length > 1 ? "s" : ""}`;
      summary.textContent = `Beyond its null: ${of}`;
    });
    const lines = nulls.map(({ key, source: text, names }) => {
      const box = element("input", { type: "checkbox" });
      box.addEventListener("change", () => {
        const asked = ({ key: k }) => (k === key ? box.checked : setting.nulls[id].includes(k));
        change({ nulls: { ...setting.nulls, [id]: nulls.filter(asked).map((of) => of.key) } });
      });
      updates.push(() => { box.checked = setting.nulls[id].includes(key); });
      const what = [...new Set(names)].map((name) => measures[name]).join("; ");
      return element("label", {}, box, " ", element("code", { textContent: text }), ` ${what}`);
    });
    const legend = element("legend", { textContent: `${id} is beyond its null if` });
    row.querySelector("th").append(element("details", {}, summary, element("fieldset", {}, legend, ...lines)));
  }

  function change(part) {
    setting = { ...setting, ...part };
    problem.textContent = "";
    const fragment = scoreboard.written(data, setting);
    history.replaceState(null, "", fragment ? `#${fragment}` : location.href.split("#")[0]);
    show();
  }
  const signed = (word) => `${data.marks[word][0]} ${word}`;
  const weak = ({ word, stands }) => word === scoreboard.HOLDS && !stands;
  function show() {
    for (const update of updates) update();
    const moved = [];
    let noted = 0;
    scoreboard.verdicts(data, setting).forEach((now, i) => {
      const [{ claim, dataset }, before] = [data.records[i], usual[i]];
      const [cell, notes] = [cells.get(`${claim} ${dataset}`), []];
      const moves = now.word !== before.word;
      if (moves) {
        moved.push(`${claim} on ${dataset}: ${signed(before.word)} → ${signed(now.word)}`);
        notes.push(`moved: published as ${signed(before.word)}`);
      } else if (weak(now) !== weak(before) || now.outside !== before.outside) noted += 1;
      const corrected = `after Holm's correction for ${now.tests} tests`;
      const how = setting.p === "raw" ? `(p = ${now.p.toPrecision(2)})` : corrected;
      if (weak(now)) notes.push(`not significant ${how}`);
      if (now.outside) notes.push("outside the paper's regime");
      cell.querySelector("a").textContent = signed(now.word);
      cell.style.borderLeftColor = data.marks[now.word][1];
      cell.classList.toggle("moved", moves);
      for (const note of cell.querySelectorAll(".note")) note.remove();
      cell.append(...notes.map((text) => element("div", { className: "note", textContent: text })));
    });
    const [all, still] = [usual.length, usual.filter(({ word }) => word === scoreboard.UNTESTABLE).length];
    const others = noted ? `; a note on significance or regime changed in ${noted} more` : "";
    count.textContent = scoreboard.written(data, setting)
      ? `${moved.length} of ${all} verdicts moved${others}.`
      : `The published setting. “Not testable here”, and unable to move: ${still} of ${all} verdicts, where ` +
        "a measure that today's rule asks for, or enough data, is missing.";
    moves.replaceChildren(...moved.map((text) => element("li", { textContent: text })));
  }

  function follow() {
    const fragment = location.hash.slice(1);
    if (fragment && !fragment.includes("=")) return; // a heading
    problem.textContent = "";
    try {
      setting = scoreboard.fromLink(data, fragment);
    } catch (fault) {
      setting = scoreboard.published(data);
      problem.textContent = "The link asks for what this page does not have: " +
        `${fault.message}. The table shows the published setting.`;
    }
    show();
  }
  window.addEventListener("hashchange", follow);
  show();
  follow();
});
