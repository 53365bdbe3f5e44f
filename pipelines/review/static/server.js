// Requests to the server. Each returns JSON, or throws ServerError with the status; status 0: not reached.

const token = document.body.dataset.token;
const TIMEOUT = 20_000; // milliseconds: a suspended server, and one behind a dead connection, never answer

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function get(path, values) {
  return request(`${path}?${new URLSearchParams(values)}`, {});
}

export function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Irbis-Token": token };
  return request(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function request(address, options) {
  let response, text;
  try {
    response = await fetch(address, { credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT), ...options });
    text = await response.text();
  } catch {
    throw new ServerError(0, "The server does not answer.");
  }
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // plain text
  }
  if (!response.ok) throw new ServerError(response.status, body?.error ?? text);
  if (body === null) throw new ServerError(0, "Another server answers at this address.");
  return body;
}

// crypto.randomUUID exists on pages of this machine only; --host serves others too.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
