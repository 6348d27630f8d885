//! Scenarios that are also played in the sandbox (`tributary plugin test`), and the contract.

tributary_plugin_sdk::connector_tests!(tributary_plugin_google_docs::GoogleDocs, "tests/scenarios");
