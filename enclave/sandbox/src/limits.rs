//! The sandbox's own bounds. What one request may use is in `phala_agent_manifest::limits`.

use std::time::Duration;

/// A larger component is refused before it is compiled.
pub const CODE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Compiled agents that are kept; the least recently used goes.
pub const COMPILED_AGENTS_MAX: usize = 64;
/// Instances that run at once, by default.
pub const INSTANCES_MAX_DEFAULT: u32 = 64;

// What one component may have; a JavaScript agent needs less.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
pub const MEMORIES_PER_COMPONENT: u32 = 2;
pub const TABLES_PER_COMPONENT: u32 = 8;
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
pub const CORE_INSTANCE_BYTES_MAX: usize = 1024 * 1024;
pub const COMPONENT_INSTANCE_BYTES_MAX: usize = 1024 * 1024;

/// Of a memory whose instance has ended, what is written over in place; the rest goes back to the
/// system. Giving pages back and faulting them in again costs more than copying these.
pub const MEMORY_KEPT_BYTES: usize = 2 * 1024 * 1024;

/// How often running guests are looked at: they let others run, and their CPU time is compared with
/// their limit. A limit is passed by at most about this.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);
/// Stack on which the guest and the host functions that it calls run.
pub const FIBER_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Handles (requests, headers, streams) that a guest may hold.
pub const RESOURCES_MAX: usize = 10_000;
/// Work that one host call may cause by the size of its arguments: about bytes.
pub const HOSTCALL_FUEL: usize = 64 * 1024 * 1024;
/// What a guest may leave on its standard streams; more is cut off.
pub const STDIO_BYTES_MAX: usize = 8 * 1024;
/// Entries that one scan may ask for.
pub const SCAN_ENTRIES_MAX: u32 = 1_000;
/// Bytes of all header names and values of a request or response.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

// Outgoing fetches.
pub const REDIRECTS_MAX: u32 = 5;
pub const URL_BYTES_MAX: usize = 8 * 1024;
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 4;
