#include "client/fate.h"

#include <inttypes.h>
#include <string.h>

#include "proto/schema/schema.h"

struct details_row {
	int status;
	const char *details; /* NULL: any other */
	enum fate fate;
	const char *words; /* NULL: "exit N", or `otherwise` where there is no N */
	const char *otherwise;
};

static const struct details_row rows[] = {
	{INVOCATION_STATUS_PENDING,	    NULL,		  FATE_WAITING,	"waiting",			   NULL    },
	{INVOCATION_STATUS_DELAYED,	    NULL,		  FATE_WAITING,	"waiting for the node",		NULL    },
	{INVOCATION_STATUS_IN_PROGRESS, NULL,		      FATE_RUNNING,	    "running",		       NULL	   },
	{INVOCATION_STATUS_CANCELLING,  NULL,		     FATE_RUNNING,	   "being cancelled",	      NULL	  },
	{INVOCATION_STATUS_SUCCESS,	    NULL,		  FATE_OK,	   NULL,				 "ok"    },
	{INVOCATION_STATUS_TIMED_OUT,   "DeliveryTimedOut", FATE_UNDELIVERED, "not delivered in time",
		NULL													 },
	{INVOCATION_STATUS_TIMED_OUT,   NULL,		    FATE_TIMED_OUT,   "timed out",			 NULL    },
	{INVOCATION_STATUS_FAILED,	   "Undeliverable",    FATE_UNDELIVERED, "not deliverable",		 NULL    },
	{INVOCATION_STATUS_FAILED,	   "InvalidPlatform",  FATE_UNDELIVERED, "not for this platform",
		NULL													 },
	{INVOCATION_STATUS_FAILED,	   "AccessDenied",	   FATE_UNDELIVERED, "access denied",		      NULL	  },
	{INVOCATION_STATUS_FAILED,	   NULL,		 FATE_FAILED,      NULL,			    "failed"},
	{INVOCATION_STATUS_CANCELLED,   "Terminated",	    FATE_STOPPED,	  "not started: too many failed",
		NULL													 },
	{INVOCATION_STATUS_CANCELLED,   NULL,		    FATE_CANCELLED,   "cancelled",			 NULL    },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Some write them in several words. */
static bool
is_same(const char *details, const char *row)
{
	while (*details != '\0' || *row != '\0') {
		if (*details == ' ')
			details++;
		else if (*details++ != *row++)
			return false;
	}
	return true;
}

static const struct details_row *
find_row(int status, const char *details)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].status == status &&
			(rows[i].details == NULL ||
				(details != NULL && is_same(details, rows[i].details))))
			return &rows[i];
	return &rows[0]; /* none that the codec lets through */
}

enum fate
fate_of(int status, const char *details)
{
	return find_row(status, details)->fate;
}

bool
fate_is_end(enum fate o)
{
	return o != FATE_WAITING && o != FATE_RUNNING;
}

bool
fate_command_is_over(int status)
{
	return fate_is_end(fate_of(status, NULL));
}

void
fate_append(struct buf *out, int status, const char *details, int64_t response_code)
{
	const struct details_row *row = find_row(status, details);

	if (row->words != NULL)
		buf_append_str(out, row->words);
	else if (response_code >= 0)
		buf_printf(out, "exit %" PRId64, response_code);
	else
		buf_append_str(out, row->otherwise);
}

int
fates_exit(const struct fates *all)
{
	static const struct {
		enum fate fate;
		int status;
	} order[] = {
		{FATE_CANCELLED,	 EXIT_STOPPED	     },
		{FATE_STOPPED,     EXIT_STOPPED	   },
		{FATE_FAILED,      EXIT_SOME_FAILED     },
		{FATE_TIMED_OUT,	 EXIT_SOME_TIMED_OUT  },
		{FATE_UNDELIVERED, EXIT_SOME_UNDELIVERED},
	};

	if (all->total == 0)
		return EXIT_NO_NODES;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (all->of[order[i].fate] > 0)
			return order[i].status;
	return 0;
}
