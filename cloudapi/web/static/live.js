// The live monitor: listens to /v1/live, counts the seconds since data landed, and has the page's figures fetched anew.
// Law: nothing is reckoned here but time; what moved is the service's word. A pause closes the stream, so that it neither
// costs one of the account's places nor piles up what nobody reads; going on looks at once, for what was missed.

const TOPICS = "prices,insight,arbitrage,signal,prediction,digest";
const STALE_S = 120;
const ANEW_MS = 5000; // figures are fetched at most this often, however much lands
const N_SHOWN = 30;

const place = document.querySelector("[data-live]");
const button = place.querySelector("button"), status = place.querySelector("[role=status]");
const news = document.querySelector("#news"), quiet = document.querySelector("#quiet");
const age = document.querySelector("#age").dataset.age; // by the service's clock
let source = null, landedAt = age === "" ? null : Date.now() - age * 1000, isOwed = false;

const HEADLINES = {
  insight: (told) => ["Insight", told.one_liner],
  arbitrage: (told) => ["Arbitrage", told.status === "ACTIVE" ? `${told.net_usd} USD net` : `ended: ${told.ended_reason ?? told.status}`],
  signal: (told) => ["Signal", told.summary],
  prediction: (told) => ["Forecast", `${told.experiment}: ${(told.probability_yes * 100).toFixed(1)} % of YES`],
  digest: (told) => ["Digest", told.summary],
};

function show(topic, told) {
  const [kind, text] = HEADLINES[topic](told);
  const row = document.createElement("li"), chip = document.createElement("span"), time = document.createElement("time");
  const link = document.createElement(told.market_key ? "a" : "span");
  chip.className = "chip";
  chip.textContent = kind;
  link.textContent = text ?? told.market_key;
  if (told.prediction_id) link.href = `/app/predictions/${encodeURIComponent(told.prediction_id)}`;
  else if (told.market_key) link.href = `/app/markets/${encodeURIComponent(told.market_key)}`;
  time.className = "muted";
  time.textContent = new Date().toLocaleTimeString();
  row.append(chip, " ", link, " ", time);
  news.prepend(row);
  while (news.children.length > N_SHOWN) news.lastChild.remove();
  quiet.hidden = true;
}

function landed() {
  landedAt = Date.now();
  tick();
  if (isOwed) return;
  isOwed = true;
  setTimeout(() => {
    isOwed = false;
    if (source !== null) window.htmx?.trigger(document.body, "landed");
  }, news.dataset.shown ? ANEW_MS : 0);
  news.dataset.shown = "yes";
}

function words(seconds) {
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function tick() {
  const age = document.querySelector("#age");
  if (age === null || landedAt === null) return;
  const seconds = Math.max(0, Math.round((Date.now() - landedAt) / 1000));
  age.textContent = words(seconds);
  age.classList.toggle("stale", seconds > STALE_S);
}

function say(state, text) {
  place.dataset.live = state;
  status.textContent = text;
}

function listen() {
  say("waiting", "Connecting …");
  source = new EventSource(`/v1/live?topics=${TOPICS}`);
  source.addEventListener("open", () => say("on", "Live"));
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) say("off", "Not live: the service refused; three streams of an account may be open");
    else say("waiting", "Connecting again …");
  });
  for (const topic of TOPICS.split(",")) {
    source.addEventListener(topic, (event) => {
      if (topic !== "prices") show(topic, JSON.parse(event.data));
      landed();
    });
  }
  source.addEventListener("reset", landed);
  source.addEventListener("bye", (event) => {
    if (JSON.parse(event.data).reason !== "not allowed any more") return;
    pause();
    say("off", "Not live: your sign-in has ended");
  });
}

function pause() {
  source?.close();
  source = null;
}

button.hidden = false;
button.addEventListener("click", () => {
  const isPaused = source === null;
  if (isPaused) {
    listen();
    window.htmx?.trigger(document.body, "landed");
  } else {
    pause();
    say("paused", "Paused");
  }
  button.textContent = isPaused ? "Pause" : "Go on";
  button.setAttribute("aria-pressed", String(!isPaused));
});
setInterval(tick, 1000);
document.addEventListener("htmx:after:swap", tick);
tick();
listen();
