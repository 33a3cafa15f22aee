/** libbpf for TypeScript: load, type, attach and test eBPF programs. See README.md. */
export {
  type AttachTcxOptions,
  type AttachXdpOptions,
  attachCgroup,
  attachSkLookup,
  attachTcx,
  attachXdp,
  openPinnedLink,
  type TcDirection,
} from './attach.ts';
export { ensureBpffs, isBpffs, unmountBpffs, withBpffs } from './bpffs.ts';
export { Btf, type BtfType } from './btf.ts';
export {
  be16,
  be32,
  be64,
  bytes,
  type Codec,
  decodeBytes,
  encodeBytes,
  type MapLayout,
  s8,
  s16,
  s32,
  s64,
  u8,
  u16,
  u32,
  u64,
} from './codec.ts';
export { Collection } from './collection.ts';
export {
  type AttachTypeName,
  attachType,
  type LinkTypeName,
  linkType,
  type MapTypeName,
  mapFlag,
  mapType,
  type ProgramTypeName,
  programType,
} from './constants.ts';
export { BpfError, errnoName } from './errors.ts';
export { type GenerateOptions, generateFromFile, generateTypes } from './generate.ts';
export { BpfLink, type LinkInfo, type XdpMode } from './link.ts';
export type { LoadOptions } from './load.ts';
export { BpfMap, type MapCreateOptions, type MapInfo, type MappedArray, type UpdateFlag } from './map.ts';
export {
  hasBtf,
  hasTcx,
  type KernelVersion,
  kernelAtLeast,
  kernelVersion,
  libbpfVersion,
  possibleCpus,
  requireKernel,
} from './probe.ts';
export {
  BpfProgram,
  enableRunStats,
  type ProgramInfo,
  type TestRunOptions,
  type TestRunResult,
} from './program.ts';
export { RingBuffer, type RingBufferOptions } from './ringbuf.ts';
export { CollectionSpec, type MapSpec, type ProgramSpec } from './spec.ts';
export type { ConstantSpec } from './variables.ts';
