std = "lua54"
max_line_length = 120
exclude_files = { "build", "build-*", ".rocks" }

files["spec"].std = "+busted"
-- Each scenario keeps the signatures of the program that it translates.
files["spec/conformance"].unused_args = false
-- Definition files declare functions that have no body.
files["types"] = { unused_args = false, ignore = { "211", "241" } }
files["rockspec"].std = "+rockspec"
-- What the host program of the fuzz targets gives them.
files["spec/fuzz"].read_globals = { "fuzz" }
