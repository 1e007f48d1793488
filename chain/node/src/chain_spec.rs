//! The networks that the node knows by name. Their genesis is in `phala_runtime::presets`.

use phala_runtime::{currency, presets, production, WASM_BINARY};
use sc_service::{ChainType, Properties};

/// A network: its genesis and how to join it.
pub type ChainSpec = sc_service::GenericChainSpec;

fn build(
	name: &str,
	id: &str,
	kind: ChainType,
	wasm: Option<&[u8]>,
	preset: &str,
) -> Result<ChainSpec, String> {
	let wasm = wasm.ok_or(
		"this node was built without a runtime (SKIP_WASM_BUILD was set); build it again without",
	)?;
	let mut properties = Properties::new();
	properties.insert("tokenSymbol".into(), currency::SYMBOL.into());
	properties.insert("tokenDecimals".into(), currency::DECIMALS.into());
	properties.insert("ss58Format".into(), currency::SS58_PREFIX.into());
	Ok(ChainSpec::builder(wasm, None)
		.with_name(name)
		.with_id(id)
		.with_protocol_id(id)
		.with_chain_type(kind)
		.with_properties(properties)
		.with_genesis_config_preset_name(preset)
		.build())
}

/// One validator.
pub fn development() -> Result<ChainSpec, String> {
	build(
		"Phala Development",
		"phala_dev",
		ChainType::Development,
		WASM_BINARY,
		sp_genesis_builder::DEV_RUNTIME_PRESET,
	)
}

/// Four validators.
pub fn local() -> Result<ChainSpec, String> {
	build(
		"Phala Local Testnet",
		"phala_local",
		ChainType::Local,
		WASM_BINARY,
		sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET,
	)
}

/// As production: no sudo, and a runtime that knows no software evidence. What `phala network new`
/// starts from.
pub fn staging() -> Result<ChainSpec, String> {
	build(
		"Phala Staging",
		"phala_staging",
		ChainType::Live,
		production::WASM_BINARY,
		presets::STAGING,
	)
}
