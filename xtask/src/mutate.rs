//! `cargo xtask mutate-tenancy`: whether a test fails without each of the store's tenant predicates.
//!
//! The work is done by `host/store/tests/contract/predicates.rs`, which needs one build for all of them.

use anyhow::Result;

use crate::{
    process::{run, step},
    project,
};

const TEST: &str = "predicates::without_any_tenant_predicate_a_test_fails";

pub(crate) fn mutate_tenancy() -> Result<()> {
    step("leaving out each tenant predicate once (minutes)");
    let test = ["test", "--quiet", "--package", "tributary-store", "--test", "contract", "--"];
    run(project::cargo(test).args(["--exact", TEST, "--nocapture"]).env("TRIBUTARY_TEST_ALL_PREDICATES", "1"))
}
