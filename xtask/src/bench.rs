//! `cargo xtask bench`: the benchmarks in `host/benches`, optimised, with components and services at hand.

use anyhow::Result;

use crate::{
    components,
    process::{run, step},
    project,
    services::Services,
};

pub(crate) fn bench(name: Option<String>, args: Vec<String>) -> Result<()> {
    Services::ensure_installed()?;
    components::build(&[components::PRODUCT, components::MISBEHAVING].concat())?;
    step("building the server and the benchmarks with optimisations (the first time takes minutes)");
    run(&mut project::cargo(["build", "--release", "--package", "tributary"]))?;
    run(&mut project::cargo(["bench", "--no-run", "--package", "tributary", "--benches"]))?;
    let services = Services::start()?;
    let mut bench = project::cargo(["bench", "--quiet", "--package", "tributary", "--bench"]);
    bench.arg(name.as_deref().unwrap_or("*")).arg("--").args(args);
    bench.envs(services.test_env()).env("TRIBUTARY_BIN", project::server(true));
    run(&mut bench)
}
