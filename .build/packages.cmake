# The Debian packages, one for each program that is installed by itself: cpack -G DEB. `./dev package`
# runs it on the preset `release`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hawser)
set(CPACK_PACKAGE_VENDOR Hawser)
set(CPACK_PACKAGE_CONTACT "Hawser <hawser@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
# Whatever the umask of who builds it.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
	GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL hawser hawser-relay hawser-node)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# One thread makes the same bytes on every machine.
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_THREADS 1)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/.build/package-times.cmake)

# hawser_deb(PACKAGE SUMMARY TEXT [DEPENDS] [FOLDER]): FOLDER holds its maintainer scripts.
function(hawser_deb package summary text depends folder)
	string(TOUPPER ${package} name)
	set(CPACK_DEBIAN_${name}_PACKAGE_NAME ${package} PARENT_SCOPE)
	set(CPACK_DEBIAN_${name}_DESCRIPTION "${summary}\n${text}" PARENT_SCOPE)
	set(CPACK_DEBIAN_${name}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
	if(folder)
		set(CPACK_DEBIAN_${name}_PACKAGE_CONTROL_EXTRA
			${folder}/postinst ${folder}/prerm ${folder}/postrm PARENT_SCOPE)
	endif()
endfunction()

# What of PAM's is an administrator's to change stays as it was changed.
set(conffiles ${PROJECT_SOURCE_DIR}/node/package/conffiles)

set(users_are_made "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles, init-system-helpers")

hawser_deb(hawser
	"shells and commands on a fleet of machines, through a relay"
	"The command of engineers and auditors: shells, port forwards and commands on machines that\nnothing connects to, and the audit log of all of it."
	"" "")
hawser_deb(hawser-relay
	"relay of a Hawser fleet: brokers, records and proves its sessions"
	"Nodes and people connect to it; it decides who may what, keeps each keystroke in an encrypted\njournal, and answers the AWS Systems Manager API."
	"${users_are_made}" ${PROJECT_SOURCE_DIR}/relay/package)
hawser_deb(hawser-node
	"agent of a machine that is in a Hawser fleet"
	"Dials out to the fleet's relay and starts shells and commands there for those whom the relay\nand the machine's own policy allow it. Nothing on the machine listens."
	"${users_are_made}, libpam-modules, libpam-runtime" ${PROJECT_SOURCE_DIR}/node/package)
list(APPEND CPACK_DEBIAN_HAWSER-NODE_PACKAGE_CONTROL_EXTRA ${conffiles})

include(CPack)
