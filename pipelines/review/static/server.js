// Requests to the server. Each returns JSON, or throws ServerError with the status; status 0: not reached.

const token = document.body.dataset.token;

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
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch {
    throw new ServerError(0, "The server does not answer.");
  }
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error ?? text;
  } catch {
    // plain text
  }
  throw new ServerError(response.status, message);
}

// crypto.randomUUID exists on pages of this machine only; --host serves others too.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
