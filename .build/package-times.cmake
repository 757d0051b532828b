# What goes into a package is as old as its sources are, so that building it again changes nothing.

if(NOT "$ENV{SOURCE_DATE_EPOCH}" STREQUAL "")
	execute_process(
		COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -exec touch -h -d "@$ENV{SOURCE_DATE_EPOCH}" {} +
		RESULT_VARIABLE failed)
	if(failed)
		message(FATAL_ERROR "cannot set the times of ${CPACK_TEMPORARY_DIRECTORY}: ${failed}")
	endif()
endif()
