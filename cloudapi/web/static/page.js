// What every page does for its reader: moments in his own zone, and parts of pages fetched by htmx instead of whole ones.
// Law: pages are whole without this file. Only answers of this very service become HTML, and none that brings a script;
// nothing is ever evaluated. An answer that is not the page asked for (a failure, the door) is visited, not pasted in.

const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const told = document.querySelector("#told");

function tellMoments(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.title = `${time.textContent} (shown in ${zone})`;
    time.textContent = form.format(moment);
  }
}

function refuse() {
  throw new TypeError("nothing is evaluated on these pages");
}

const rules = {
  createHTML(text) {
    if (/<script(?![^>]* src="\/app\/static\/)/i.test(text)) throw new TypeError("an answer with a script of its own");
    return text;
  },
  createScript(text) {
    if (text.trim() !== "") refuse();
    return text;
  },
};

function joinHtmx(htmx) {
  const policy = window.trustedTypes?.createPolicy("oddsd", rules) ?? rules;
  htmx.registerExtension("oddsd", { init: (api) => api.initSecurity(policy, refuse, refuse) });
  const isAsked = (ctx) => ctx.sourceElement.matches("a, form");
  let asked = false; // by the reader, not by a timer
  let next = null; // where the keyboard goes on, when what it stood on is gone

  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail, answer = ctx.response.raw;
    if (answer.ok && !answer.redirected) return;
    event.preventDefault();
    if (isAsked(ctx)) window.location.assign(answer.url);
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx, tasks } = event.detail;
    asked = isAsked(ctx);
    next = ctx.sourceElement.matches("[rel=next]") ? tasks[0]?.fragment.querySelector("a") : null;
  });
  document.addEventListener("htmx:after:swap", () => {
    tellMoments(document);
    if (!asked) return;
    next?.focus();
    told.textContent = next ? "More is shown." : (document.querySelector("p[data-summary]")?.textContent ?? "Shown.");
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail.ctx || !isAsked(event.detail.ctx)) return;
    told.textContent = "Not loaded: the service did not answer. Try again.";
    told.classList.add("seen");
  });
  document.addEventListener("htmx:before:request", () => {
    told.classList.remove("seen");
  });
}

tellMoments(document);
// Where the pages' names do not fit side by side, the one that is open is in sight.
document.querySelector(".top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
if (window.htmx) joinHtmx(window.htmx);
