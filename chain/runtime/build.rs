//! Compiles the runtime to wasm when it is built natively: with the features of this build; as networks
//! with value have it, without software evidence; and as tests upgrade a network to it.

fn main() {
	#[cfg(feature = "std")]
	wasm::build();
}

#[cfg(feature = "std")]
mod wasm {
	use substrate_wasm_builder::WasmBuilder;

	/// Where `lib.rs` finds the production runtime, and what its files in `wbuild` are called.
	#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
	const PRODUCTION: &str = "phala_runtime_production";
	/// The same of the runtime with the rehearsal's migration, which tests alone look for.
	#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
	const REHEARSAL: &str = "phala_runtime_rehearsal";

	pub fn build() {
		// For tests of other crates, natively: a wasm is the same with and without.
		std::env::remove_var("CARGO_FEATURE_TEST_SUPPORT");
		// A build without software evidence is the production runtime; one that measures is for
		// nothing else.
		#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
		{
			// The wasm is compiled with those features of this build that the builder finds here.
			const FEATURE: &str = "CARGO_FEATURE_SOFTWARE_EVIDENCE";
			std::env::remove_var(FEATURE);
			builder().set_file_name(PRODUCTION).build();
			std::env::set_var(FEATURE, "1");
			// A feature of this crate alone: all that it depends on is compiled already.
			builder().enable_feature("upgrade-rehearsal").set_file_name(REHEARSAL).build();
		}
		builder().build();
	}

	fn builder() -> WasmBuilder {
		let builder = WasmBuilder::init_with_defaults();
		// The runtime's `currency::{SYMBOL, DECIMALS}`; a test compares.
		#[cfg(feature = "metadata-hash")]
		let builder = builder.enable_metadata_hash("PHA", 12);
		builder
	}
}
