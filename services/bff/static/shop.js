// Makes pages livelier. Everything works without it.
"use strict";

const WORDS = {
  placed: "Thank you, we have your order",
  confirmed: "Paid, and being packed",
  shipped: "It is on its way",
  returned: "Returned, and you have your money back",
  cancelled: "This order was cancelled",
};
const REQUESTS = {
  cancel: "It is being cancelled",
  return: "It is being returned",
};
const REASONS = {
  ORDER_CANCELLED_BY_SHOPPER: "You cancelled it.",
  PAYMENT_DECLINED: "The card was declined.",
  PAYMENT_STEP_UP_TIMEOUT: "The bank's confirmation did not come in time.",
  OUT_OF_STOCK: "Something in it was sold out a moment before.",
  INVENTORY_OUT_OF_STOCK: "Something in it was sold out a moment before.",
};
const STAGES = ["placed", "confirmed", "shipped"];

// What can be done in a state, and nothing while something is being done.
function offer(id, isPossible) {
  const form = document.getElementById(id);
  if (form) form.hidden = !isPossible;
}

function show(state, requested) {
  const label = document.getElementById("order-state");
  label.textContent = state;
  label.dataset.state = state;
  document.getElementById("order").dataset.state = state;
  document.getElementById("order-headline").textContent = REQUESTS[requested] ?? WORDS[state];
  offer("cancel-form", state === "placed" && !requested);
  offer("return-form", state === "shipped" && !requested);
  const timeline = document.getElementById("timeline");
  timeline.dataset.state = state;
  const reached = Math.max(STAGES.indexOf(state === "returned" ? "shipped" : state), 0);
  for (const step of timeline.children) {
    const place = STAGES.indexOf(step.dataset.stage);
    const done = place < 0 ? state === step.dataset.stage : place <= reached;
    step.toggleAttribute("data-done", done);
    if (place === reached) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  }
}

async function explain(id) {
  const answer = await fetch(`/api/orders/${id}`);
  if (!answer.ok) return;
  const reason = (await answer.json()).cancel_reason;
  const note = document.getElementById("order-reason");
  note.firstElementChild.textContent = REASONS[reason] ?? reason ?? "";
  note.hidden = false;
}

function follow(order) {
  const id = order.dataset.order;
  const source = new EventSource(`/api/orders/${id}/events`);
  source.addEventListener("order", (event) => {
    const { state, requested } = JSON.parse(event.data);
    show(state, requested);
    if (state === "cancelled") explain(id);
  });
  source.addEventListener("end", () => {
    order.toggleAttribute("data-over", true);
    source.close();
  });
  // A browser gives up after a refused answer; an order is worth another try.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED && !order.hasAttribute("data-over")) setTimeout(() => follow(order), 2000);
  });
}

const order = document.getElementById("order");
if (order && !order.hasAttribute("data-over")) follow(order);

// The cart as it is now, from the page that shows it, unless somebody is typing in it.
async function renew(version) {
  const cart = document.getElementById("cart");
  const typing = [...cart.querySelectorAll("input")].some((input) => input.value !== input.defaultValue);
  if (typing || cart.dataset.version === String(version)) return;
  const answer = await fetch("/cart");
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["cart", "cart-link"]) document.getElementById(id).replaceWith(page.getElementById(id));
}

function watch() {
  const source = new EventSource("/api/cart/events");
  source.addEventListener("cart", (event) => renew(JSON.parse(event.data).version));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, 2000);
  });
}

if (document.getElementById("cart")) watch();

// One click is enough; the key in the form would make a second one harmless.
const checkout = document.getElementById("checkout-form");
if (checkout) {
  const button = document.getElementById("place-order");
  checkout.addEventListener("submit", () => {
    button.setAttribute("aria-disabled", "true");
    button.textContent = "Placing your order …";
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });
}
