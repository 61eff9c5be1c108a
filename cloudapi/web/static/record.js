// Checks the hash chain of predictions in the reader's own browser.
// Law: the bytes that are hashed are the bytes that were sent: numbers and texts are never parsed and written again,
// so what another language prints otherwise (1.0, 1e-07) cannot break a sound chain, nor mend a broken one.

const GENESIS = "0".repeat(64);
const OUTSIDE = new Set(["record_hash", "previous_hash"]);

// The end of the JSON value that begins at `at`.
function endOf(text, at) {
  if (text[at] === '"') {
    let end = at + 1;
    while (text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    return end + 1;
  }
  if (text[at] === "{" || text[at] === "[") {
    let depth = 0;
    for (let end = at; ; ) {
      if (end >= text.length) throw new Error("the answer was cut off");
      if (text[end] === '"') { end = endOf(text, end); continue; }
      if ("{[".includes(text[end])) depth += 1;
      if ("}]".includes(text[end])) depth -= 1;
      end += 1;
      if (depth === 0) return end;
    }
  }
  let end = at;
  while (end < text.length && !",}]".includes(text[end])) end += 1;
  return end;
}

// The members of an object, or the elements of a list, each as it was written.
function members(text) {
  const found = [];
  for (let at = 1; at < text.length - 1; ) {
    const isObject = text[0] === "{";
    const keyEnd = isObject ? endOf(text, at) : at;
    const from = isObject ? keyEnd + 1 : at;
    const end = endOf(text, from);
    found.push([isObject ? JSON.parse(text.slice(at, keyEnd)) : null, text.slice(from, end)]);
    at = end + 1;
  }
  return found;
}

async function hashOf(fields, previous) {
  const body = fields.filter(([name]) => !OUTSIDE.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `${previous}{${body.map(([name, raw]) => `${JSON.stringify(name)}:${raw}`).join(",")}}`;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function verify(chain, tell) {
  let next = 1, seq = 0, previous = GENESIS;
  while (next !== null) {
    const query = new URLSearchParams({ from: next, limit: 100, ...(chain ? { chain } : {}) });
    const answer = await fetch(`/v1/record?${query}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`the record could not be read (${answer.status}); try again in a minute`);
    const page = new Map(members(await answer.text()));
    for (const [, raw] of members(page.get("data"))) {
      const fields = members(raw), told = new Map(fields);
      const number = JSON.parse(told.get("chain_seq"));
      if (number !== seq + 1) return `Number ${seq + 1} is missing: the next one here is ${number}.`;
      if (JSON.parse(told.get("previous_hash")) !== previous) return `Number ${number} does not follow the one before it.`;
      if ((await hashOf(fields, previous)) !== JSON.parse(told.get("record_hash"))) return `Number ${number} was changed: its hash is another.`;
      previous = JSON.parse(told.get("record_hash"));
      seq = number;
    }
    tell(`${seq} checked …`);
    next = JSON.parse(page.get("next_from"));
  }
  return `The record holds: ${seq} forecasts, each hash worked out here. It ends with ${previous}.`;
}

const place = document.querySelector("[data-verify]");
if (place !== null) {
  const button = place.querySelector("button"), status = place.querySelector("[role=status]");
  button.hidden = false;
  status.textContent = "";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      status.textContent = await verify(place.dataset.chain, (text) => { status.textContent = text; });
    } catch (fault) {
      status.textContent = `Not checked: ${fault.message}.`;
    }
    button.disabled = false;
  });
}
