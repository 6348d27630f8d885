//! `cargo xtask bench`: the benchmarks of the server, the sandbox, the search and the store, optimised, with components and services at hand.

use anyhow::Result;

use crate::{
    components,
    process::{run, step},
    project,
    services::Services,
};

/// Whose `benches` are run.
const PACKAGES: [&str; 4] = ["tributary", "tributary-sandbox", "tributary-search", "tributary-store"];

pub(crate) fn bench(name: Option<String>, args: Vec<String>) -> Result<()> {
    Services::ensure_installed()?;
    components::build(&[components::PRODUCT, components::MISBEHAVING].concat())?;
    step("building the server and the benchmarks with optimisations (the first time takes minutes)");
    let name = name.as_deref().unwrap_or("*");
    let bench = || {
        let mut bench = project::cargo(["bench", "--bench", name]);
        for package in PACKAGES {
            bench.args(["--package", package]);
        }
        bench
    };
    run(bench().arg("--no-run"))?;
    let services = Services::start()?;
    run(bench().args(["--quiet", "--"]).args(args).envs(services.test_env()))
}
