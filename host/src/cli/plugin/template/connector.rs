//! Plays tests/scenarios natively; `tributary plugin test` plays them in the sandbox.

use {{crate}}::{{Type}};

tributary_plugin_sdk::connector_tests!({{Type}}, "tests/scenarios");
