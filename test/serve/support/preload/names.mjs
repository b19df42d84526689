// Loaded into a server before everything else: answers for names as a hostile name server would give them.

import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";

const NAMES = JSON.parse(process.env.TEST_NAMES ?? "{}");
const { lookup } = dns;

dns.lookup = (hostname, options, callback) => {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  const addresses = NAMES[name];
  if (name === "127.0.0.1" || name === "localhost") return lookup(name, options, callback);
  if (!addresses) {
    const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" });
    return process.nextTick(callback, error);
  }
  const found = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  if (options.all) return process.nextTick(callback, null, found);
  process.nextTick(callback, null, found[0].address, found[0].family);
};
syncBuiltinESMExports();
