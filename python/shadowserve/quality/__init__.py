"""`shadowserve quality`: what each codec profile costs in bytes and in answers, measured through the real path."""
