"""What is shown: tables and the README's sections, pure functions of records."""
