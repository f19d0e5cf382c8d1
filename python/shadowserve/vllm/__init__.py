"""The vLLM integration: name shadowserve.vllm.connector as kv_connector_module_path."""
