/** Builds queries and reads replies for the DNS tests. */
import dnsPacket, { type Answer, type DecodedPacket, type OptAnswer, type Question } from 'dns-packet';
import { type DnsView, emptyView, type ServiceAddresses } from '../../../control/dns/names.ts';

/** A view of these services, by name. */
export function viewOf(
  services: ReadonlyMap<string, ServiceAddresses>,
  more: Partial<DnsView> = {},
): DnsView {
  return { ...emptyView, lookup: (name) => services.get(name), ...more };
}

/** EDNS record of a query. */
export function opt(udpPayloadSize: number, ednsVersion = 0, flags = 0): OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion,
    flags,
    flag_do: (flags & dnsPacket.DNSSEC_OK) !== 0,
    options: [],
  };
}

/** Bytes of a query for one name. */
export function query(
  name: string,
  type: Question['type'] = 'A',
  additionals: Answer[] = [],
  id = 0x1234,
): Buffer {
  return dnsPacket.encode({
    id,
    type: 'query',
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type, class: 'IN' }],
    additionals,
  });
}

/** A decoded reply with what the tests look at. */
export type Reply = {
  packet: DecodedPacket;
  id: number;
  code: number;
  addresses: string[];
  names: string[];
  authorities: Answer[];
  opt: OptAnswer | undefined;
};

/** Decodes a reply; throws if bytes are left over. */
export function readReply(bytes: Buffer): Reply {
  const packet = dnsPacket.decode(bytes);
  if (dnsPacket.decode.bytes !== bytes.length) throw new Error('bytes left over behind the reply');
  const answers = packet.answers ?? [];
  const found = packet.additionals?.find((record): record is OptAnswer => record.type === 'OPT');
  return {
    packet,
    id: packet.id ?? -1,
    code: (packet.flags ?? 0) & 0xf,
    addresses: answers.flatMap((record) => (record.type === 'A' ? [record.data] : [])),
    names: answers.map((record) => record.name),
    authorities: packet.authorities ?? [],
    opt: found,
  };
}

/** Reproducible numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
