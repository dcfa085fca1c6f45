# SPDX-License-Identifier: Apache-2.0
# schema/NNNN-name.sql files, in order, as a C table.
BEGIN {
	print "/* Generated from the files in schema/. */"
	print "#include \"config.h\""
	print "#include <stddef.h>"
	print "#include \"collector/store/schema.h\""
	print "const struct schema_step schema_steps[] = {"
}
FNR == 1 {
	if (NR > 1)
		print "\t},"
	name = FILENAME
	sub(/.*\//, "", name)
	sub(/\.sql$/, "", name)
	printf "\t{ %d, \"%s\",\n", substr(name, 1, 4) + 0, substr(name, 6)
}
/^--/ { next }
{
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	gsub(/\t/, " ")
	printf "\t\t\"%s\\n\"\n", $0
}
END {
	print "\t},"
	print "\t{ 0, NULL, NULL },"
	print "};"
}
