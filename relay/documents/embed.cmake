# cmake -DOUT=FILE -DDIR=FOLDER -P embed.cmake: writes the table of built_in.h, with each document's
# bytes, so that a document is a file to read and a program needs none beside it.
set(texts "")
set(rows "")
set(count 0)
file(GLOB files ${DIR}/command/*.yaml ${DIR}/session/*.yaml)
set(named)
foreach(file IN LISTS files)
	get_filename_component(name ${file} NAME_WE)
	list(APPEND named "${name}!${file}")
endforeach()
list(SORT named)
foreach(pair IN LISTS named)
	string(REGEX REPLACE "!.*" "" name ${pair})
	string(REGEX REPLACE ".*!" "" file ${pair})
	get_filename_component(folder ${file} DIRECTORY)
	get_filename_component(type ${folder} NAME)
	string(TOUPPER ${type} type)
	file(READ ${file} bytes HEX)
	string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
	string(APPEND texts "static const char text_${count}[] = {${bytes}0};\n")
	string(APPEND rows
		"\t{\"${name}\", DOCUMENT_TYPE_${type}, text_${count}, sizeof(text_${count}) - 1},\n")
	math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUT}
	"#include \"proto/schema/schema.h\"\n#include \"relay/documents/built_in.h\"\n\n${texts}\n"
	"const struct built_in built_ins[] = {\n${rows}};\nconst size_t built_in_count = ${count};\n")
