/** AF_NETLINK for TypeScript. See README.md. */

export type { Address, AddressFilter, AddressSpec } from './addresses.ts';
export * as addresses from './addresses.ts';
export { type Attribute, Attributes, AttributeWriter } from './codec/attributes.ts';
export type { IpAddress, IpFamily, IpPrefix } from './codec/ip.ts';
export * as ip from './codec/ip.ts';
export type { NetlinkMessage } from './codec/message.ts';
export { type ExtendedAck, MalformedMessageError, NetlinkError, SystemCallError } from './errors.ts';
export type { EthtoolOptions, Offloads } from './ethtool.ts';
export * as ethtool from './ethtool.ts';
export {
  type EventAction,
  type EventGroup,
  EventStream,
  type NetlinkEvent,
  type SubscribeOptions,
  subscribe,
} from './events.ts';
export type { FdbEntry, FdbFilter, FdbSpec, FdbState } from './fdb.ts';
export * as fdb from './fdb.ts';
export { interfaceNameToIndex } from './ffi.ts';
export type {
  BridgePort,
  BridgePortChanges,
  BridgeSpec,
  DummySpec,
  Link,
  LinkChanges,
  LinkCommon,
  LinkSpec,
  LinkStatistics,
  NetnsTarget,
  OperationalState,
  VethSpec,
  VlanSpec,
  VxlanInfo,
  VxlanSpec,
} from './link-types.ts';
export type { LinkFilter } from './links.ts';
export * as links from './links.ts';
export { type ListenerOptions, openListener } from './listener.ts';
export type {
  Neighbour,
  NeighbourFilter,
  NeighbourKey,
  NeighbourSpec,
  NeighbourState,
} from './neighbours.ts';
export * as neighbours from './neighbours.ts';
export * as netns from './netns.ts';
export { type NetnsHandle, type NetnsRef, prepareThreads } from './netns.ts';
export {
  type BatchResult,
  type InterfaceRef,
  type InterfaceResolver,
  type NetlinkRequest,
  unwrapBatch,
} from './request.ts';
export type {
  NextHop,
  NextHopSpec,
  Route,
  RouteFilter,
  RouteLookup,
  RouteSpec,
  RouteType,
} from './routes.ts';
export * as routes from './routes.ts';
export type { PortRange, Rule, RuleAction, RuleSpec } from './rules.ts';
export * as rules from './rules.ts';
export type { Scope } from './scope.ts';
export { type NetlinkCounters, NetlinkSocket, type NetlinkSocketOptions } from './socket.ts';
export type { SysctlOptions } from './sysctl.ts';
export * as sysctl from './sysctl.ts';
export type { NetlinkProtocol, Received, Transport } from './transport.ts';
