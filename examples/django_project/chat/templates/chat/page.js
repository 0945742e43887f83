"use strict";

const KEPT_LINES = 500;
const LOGGED_LINES = 12;
const LONGEST_PAUSE = 8; // seconds between two attempts to connect
const PATIENCE = 5; // seconds until an answer of the API is no longer waited for

const [state, conversation, people, visits, log, form, input, button] = [
  "state", "conversation", "people", "visits", "log", "say", "text", "send",
].map((id) => document.getElementById(id));

const address = new URL("ws/", location);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const visitsAddress = new URL("api/visits", location);
const statusAddress = new URL("api/status", location);

// The request for the page began a trace. What the page asks the API for belongs to it; a websocket cannot tell.
const traceparent = document.querySelector("meta[name=traceparent]")?.content;
const ownTraces = new Set(traceparent ? [traceparent.split("-")[1]] : []);

let socket;
let me;
let failures = 0;

function connect() {
  socket = new WebSocket(address);
  socket.onmessage = (message) => show(JSON.parse(message.data));
  socket.onclose = (close) => {
    button.disabled = true;
    setPeople([]);
    const reason = close.reason || "Connection lost";
    if (me) note(reason);
    explain("origin", address, me ? "passed, and has ended." : "was not accepted.");
    explain("websocket", address, me ? "was accepted, and has ended." : "was not accepted.");
    explain("origin", address, me ? "passed, and has ended." : "was not accepted.");
    explain("session", address, "has ended.");
    me = undefined;
    tryAgainIn(Math.min(2 ** failures++, LONGEST_PAUSE), reason);
  };
  countVisit(); // each time, because a server that was restarted counts from one
}

function tryAgainIn(seconds, reason) {
  setState("lost", `${reason}, next attempt in ${seconds} s`);
  setTimeout(() => {
    if (seconds > 1) return tryAgainIn(seconds - 1, reason);
    setState("waiting", "Connecting…");
    connect();
  }, 1000);
}

async function countVisit() {
  try {
    const { headers, answer: { visit } } = await ask(visitsAddress, "POST");
    const { framework, root_path, started } = (await ask(statusAddress)).answer;
    const since = clock(new Date(started));
    setVisits("counted", `Visit ${visit} since ${since}`);
    explain("api", visitsAddress, `went to ${framework}, running since ${since} with the root path ${root_path}.`);
    const reader = headers.get("access-control-allow-origin");
    explain("cors", visitsAddress, `may be read by pages of ${reader ?? "this site alone"}.`);
  } catch (error) {
    setVisits("failed", `Visits are not counted: ${error.message}`);
    for (const id of ["cors", "api"]) explain(id, visitsAddress, `was asked for, but ${error.message}.`);
  }
}

async function ask(address, method = "GET") {
  const signal = AbortSignal.timeout(1000 * PATIENCE);
  const headers = traceparent ? { traceparent } : {};
  const response = await fetch(address, { method, headers, signal }).catch(() => {
    throw new Error("the API did not answer");
  });
  if (!response.ok) throw new Error(`the API answered with error ${response.status}`);
  const answer = await response.json().catch(() => {
    throw new Error("the API did not answer with JSON");
  });
  return { headers: response.headers, answer };
}

function show({ event, name, user, text, people, lines, request_id, trace_id }) {
  if (event === "welcome") {
    me = name;
    failures = 0;
    button.disabled = false;
    setState("open", `Connected as ${me}`);
    explain("origin", address, `came from a page of this site, ${location.origin}, and passed.`);
    explain("websocket", address, "went to chat/sockets.py, which accepted it.");
    ownTraces.add(trace_id);
    log.replaceChildren(); // the lines so far come next
    explain("id", address, `has the id ${request_id}`);
    explain("trace", address, `is in the trace ${trace_id}`);
    explain("origin", address, `came from a page of this site, ${location.origin}, and passed.`);
    const login = user ? `Django's session: ${user} is logged in.` : "no session in which anybody is logged in.";
    explain("session", address, `brought ${login}`);
    if (user) note(`Hello, ${user}!`);
  } else if (event === "logged") {
    lines.forEach(showLine);
  } else if (event === "said") {
    message(name, text);
  } else {
    note(name === me ? `You ${event} as ${name}` : `${name} ${event}`);
    setPeople(people);
  }
}

// Whatever others wrote becomes text, never markup: textContent, not innerHTML.
function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function message(name, text) {
  const line = element("li", name === me ? "message mine" : "message", "");
  line.append(element("span", "who", `${name}, ${clock(new Date())}`), element("span", "what", text));
  add(line);
}

function showLine({ method, path, status, outcome, close, closed_by, seconds, request_id, trace_id }) {
  const line = element("li", ownTraces.has(trace_id) ? "mine" : "", "");
  const duration = seconds < 1 ? `${(1000 * seconds).toFixed(1)} ms` : `${seconds.toFixed(1)} s`;
  const measures = [status ?? "no status", duration];
  if (close !== null) measures.push(`closed with ${close} by ${closed_by}`);
  if (outcome !== "completed") measures.push(outcome.replaceAll("_", " "));
  line.append(element("code", "", `${method} ${path}`), ` ${measures.join(", ")}`);
  line.title = `id ${request_id}, trace ${trace_id}`;
  log.append(line);
  while (log.childElementCount > LOGGED_LINES) log.firstElementChild.remove();
}

function clock(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function note(text) {
  add(element("li", "note", text));
}

function add(line) {
  const atTheEnd = conversation.scrollHeight - conversation.scrollTop - conversation.clientHeight < 40;
  conversation.append(line);
  while (conversation.childElementCount > KEPT_LINES) conversation.firstElementChild.remove();
  if (atTheEnd || line.classList.contains("mine")) conversation.scrollTop = conversation.scrollHeight;
}

function setPeople(names) {
  const items = names.map((name) => element("li", name === me ? "me" : "", name));
  people.replaceChildren(...(items.length ? items : [element("li", "nobody", "not connected")]));
}

function setState(name, text) {
  state.dataset.state = name;
  state.textContent = text;
}

function setVisits(name, text) {
  visits.dataset.state = name;
  visits.textContent = text;
}

function explain(id, { pathname }, outcome) {
  const entry = document.getElementById(id);
  if (!entry) return; // the page came over WSGI
  entry.querySelector(".path").textContent = pathname;
  entry.querySelector(".outcome").textContent = outcome;
}

// The page before and after compression, as the browser has counted it; not every one names the coding.
function measure({ decodedBodySize, encodedBodySize, contentEncoding }) {
  const [before, after] = [decodedBodySize, encodedBodySize].map((size) => `${size.toLocaleString()} bytes`);
  const outcome = before === after ? `went out as it is: ${after}` : `was ${before}, and went out as ${after}`;
  explain("page", location, contentEncoding ? `${outcome} in ${contentEncoding}.` : `${outcome}.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN || !input.value.trim()) return;
  socket.send(input.value);
  input.value = "";
});

explain("origin", address, "is being asked for.");
explain("websocket", address, "is being asked for.");
for (const id of ["id", "trace", "origin", "session"]) explain(id, address, "is being asked for.");
for (const id of ["cors", "api"]) explain(id, visitsAddress, "is being asked for.");
explain("page", location, "is being measured.");
new PerformanceObserver((list) => measure(list.getEntries()[0])).observe({ type: "navigation", buffered: true });
connect();
