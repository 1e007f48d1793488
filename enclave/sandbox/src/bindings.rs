//! Generated from `wit/`.

wasmtime::component::bindgen!({
	path: "wit",
	world: "phala:agent/imports",
	imports: {
		"phala:agent/state.get": store | trappable,
		"phala:agent/state.scan": store | trappable,
		"phala:agent/secrets.get": store | trappable,
		"phala:agent/fetch.send": store | trappable,
		"phala:agent/agents.call": store | trappable,
		"phala:agent/timers.sleep": store | trappable,
		default: trappable,
	},
});

pub(crate) use phala::agent::*;
