//! Compiles the runtime to wasm when it is built natively.

fn main() {
	#[cfg(all(feature = "std", not(feature = "metadata-hash")))]
	{
		substrate_wasm_builder::WasmBuilder::build_using_defaults();
	}
	// The runtime's `currency::{SYMBOL, DECIMALS}`; a test compares.
	#[cfg(all(feature = "std", feature = "metadata-hash"))]
	{
		substrate_wasm_builder::WasmBuilder::init_with_defaults()
			.enable_metadata_hash("PHA", 12)
			.build();
	}
}
