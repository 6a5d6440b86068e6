"""Problems, one a file; every module here is found by discovery."""
