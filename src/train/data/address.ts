// Which network addresses a downloader of strangers' lists may connect to: public ones only.

import { BlockList, isIP } from "node:net";

const blockedV4 = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  blockedV4.addSubnet(network, bits, "ipv4");
}

// Only global unicast is public; within it, tunnels to IPv4 and documentation are not.
const globalV6 = new BlockList();
globalV6.addSubnet("2000::", 3, "ipv6");
const blockedV6 = new BlockList();
for (const [network, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  blockedV6.addSubnet(network, bits, "ipv6");
}

/** Whether an IP address (no name) is public: not private, loopback, link-local, reserved or mapped. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !blockedV4.check(address, "ipv4");
    case 6:
      // A zone ("%eth0") only exists on local addresses.
      return (
        !address.includes("%") &&
        globalV6.check(address, "ipv6") &&
        !blockedV6.check(address, "ipv6")
      );
    default:
      return false;
  }
}
