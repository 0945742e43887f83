"use strict";

const KEPT_LINES = 500;
const LONGEST_PAUSE = 8; // seconds between two attempts to connect

const [state, conversation, people, form, input, button, layer] = [
  "state", "conversation", "people", "say", "text", "send", "websocket",
].map((id) => document.getElementById(id));

const address = new URL("ws/", location);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

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
    explain(me ? "was accepted, and has ended." : "was not accepted.");
    me = undefined;
    tryAgainIn(Math.min(2 ** failures++, LONGEST_PAUSE), reason);
  };
}

function tryAgainIn(seconds, reason) {
  setState("lost", `${reason}, next attempt in ${seconds} s`);
  setTimeout(() => {
    if (seconds > 1) return tryAgainIn(seconds - 1, reason);
    setState("waiting", "Connecting…");
    connect();
  }, 1000);
}

function show({ event, name, text, people }) {
  if (event === "welcome") {
    me = name;
    failures = 0;
    button.disabled = false;
    setState("open", `Connected as ${me}`);
    explain("went to chat/sockets.py, which accepted it.");
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
  const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  line.append(element("span", "who", `${name}, ${time}`), element("span", "what", text));
  add(line);
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

function explain(outcome) {
  if (!layer) return;
  layer.querySelector(".path").textContent = address.pathname;
  layer.querySelector(".outcome").textContent = outcome;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN || !input.value.trim()) return;
  socket.send(input.value);
  input.value = "";
});

explain("is being asked for.");
connect();
