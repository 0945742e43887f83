"use strict";

const KEPT_LINES = 500;
const LONGEST_PAUSE = 8; // seconds between two attempts to connect
const PATIENCE = 5; // seconds until an answer of the API is no longer waited for

const [state, conversation, people, visits, form, input, button] = [
  "state", "conversation", "people", "visits", "say", "text", "send",
].map((id) => document.getElementById(id));

const address = new URL("ws/", location);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const visitsAddress = new URL("api/visits", location);
const statusAddress = new URL("api/status", location);

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
    const { visit } = await ask(visitsAddress, "POST");
    const { framework, root_path, started } = await ask(statusAddress);
    const since = clock(new Date(started));
    setVisits("counted", `Visit ${visit} since ${since}`);
    explain("api", visitsAddress, `went to ${framework}, running since ${since} with the root path ${root_path}.`);
  } catch (error) {
    setVisits("failed", `Visits are not counted: ${error.message}`);
    explain("api", visitsAddress, `was asked for, but ${error.message}.`);
  }
}

async function ask(address, method = "GET") {
  const signal = AbortSignal.timeout(1000 * PATIENCE);
  const response = await fetch(address, { method, signal }).catch(() => {
    throw new Error("the API did not answer");
  });
  if (!response.ok) throw new Error(`the API answered with error ${response.status}`);
  return response.json().catch(() => {
    throw new Error("the API did not answer with JSON");
  });
}

function show({ event, name, user, text, people }) {
  if (event === "welcome") {
    me = name;
    failures = 0;
    button.disabled = false;
    setState("open", `Connected as ${me}`);
    explain("origin", address, `came from a page of this site, ${location.origin}, and passed.`);
    explain("websocket", address, "went to chat/sockets.py, which accepted it.");
    const login = user ? `Django's session: ${user} is logged in.` : "no session in which anybody is logged in.";
    explain("session", address, `brought ${login}`);
    if (user) note(`Hello, ${user}!`);
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
explain("session", address, "is being asked for.");
explain("api", visitsAddress, "is being asked for.");
explain("page", location, "is being measured.");
new PerformanceObserver((list) => measure(list.getEntries()[0])).observe({ type: "navigation", buffered: true });
connect();
