/* What hawser-node-fetch is told, what files are called, and whose keys sign. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/fetch/aws.h"
#include "node/fetch/name.h"
#include "node/fetch/spec.h"
#include "proto/base/err.h"

/* --- what is told
 * ---------------------------------------------------------------------------------- */

static int
parse(struct fetch_spec *s, const char *source, const char *info, const char *to,
	struct hw_err *err)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"{\"source\":\"%s\",\"info\":{%s},\"destination\":\"%s\",\"work\":\"/var/tmp/x\","
		"\"max\":1000}",
		source, info, to);
	return fetch_spec_parse(s, text, strlen(text), err);
}

Test(fetch_spec, what_is_good)
{
	static const struct {
		const char *source, *info;
		enum fetch_source means;
	} rows[] = {
		{"HTTP",	 "\"url\":\"https://h/x\"",						    FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"https://h/x\",\"allowInsecureDownload\":\"false\"",		FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"http://h/x\",\"allowInsecureDownload\":true",			  FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"http://h/x\",\"allowInsecureDownload\":\"True\"",		      FETCH_HTTP	},
		{"HTTP",
			"\"url\":\"https://h/x\",\"authMethod\":\"Digest\",\"username\":\"u\",\"password\":"
			"\"p\"",								       FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"https://h/x\",\"authMethod\":\"None\"",			    FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"file:///etc/hostname\"",					     FETCH_LOCAL },
		{"S3",     "\"path\":\"https://s3.eu-west-1.amazonaws.com/b/k\"",		      FETCH_S3    },
		{"Git",	"\"repository\":\"https://h/x.git\",\"getOptions\":\"branch:main\"",
			FETCH_GIT											 },
		{"Git",	"\"repository\":\"git@host:a/b.git\"",				       FETCH_GIT	},
		{"Git",	"\"repository\":\"ssh://git@host/a\",\"getOptions\":\"commitID:0123abcd\"",
			FETCH_GIT											 },
		{"HTTP",	 "\"url\":\"https://h/x?a=b@c\"",						  FETCH_HTTP  },
		{"HTTP",	 "\"url\":\"https://h/@x\"",						     FETCH_HTTP  },
		{"GitHub", "\"owner\":\"o\",\"repository\":\"r\",\"path\":\"a/b\"",		    FETCH_GITHUB},
		{"Local",  "\"path\":\"/etc/hostname\"",						FETCH_LOCAL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fetch_spec s;
		struct hw_err err = HW_ERR_INIT;
		cr_assert_eq(parse(&s, rows[i].source, rows[i].info, "a/b", &err), 0, "%zu: %s", i,
			hw_err_text(&err));
		cr_assert_eq(s.source, rows[i].means, "%zu", i);
		fetch_spec_free(&s);
	}
}

Test(fetch_spec, what_is_not)
{
	static const struct {
		const char *source, *info, *to, *says;
	} rows[] = {
		{"FTP",	"",							       "",		"sourceType"		    },
		{"HTTP",	 "",							       "",		 "sourceInfo has no url"	},
		{"HTTP",	 "\"url\":7",						      "",	  "url is not a text"	     },
		{"HTTP",	 "\"url\":\"https://h/\\n\"",				      "",	  "control characters"	      },
		{"HTTP",	 "\"url\":\"http://h/x\"",					   "",	       "not encrypted"		      },
		{"HTTP",	 "\"url\":\"ftp://h/x\",\"allowInsecureDownload\":true",		 "",
			"not an https://"												      },
		{"HTTP",	 "\"url\":\"file://other/x\"",				       "",	   "another machine"		    },
		{"HTTP",	 "\"url\":\"gopher://h/x\"",					     "",		 "not an https://"		  },
		{"HTTP",	 "\"url\":\"https://h/x\",\"authMethod\":\"Basic\"",		     "",
			"username and password"												},
		{"HTTP",	 "\"url\":\"https://h/x\",\"authMethod\":\"NTLM\"",		    "",
			"None, Basic or Digest"												},
		{"HTTP",	 "\"url\":\"https://h/x\",\"allowInsecureDownload\":1",		"",
			"true or false"													},
		{"S3",     "\"url\":\"https://h/x\"",					  "",	      "has no path"		   },
		{"S3",     "\"path\":\"s3://bucket/key\"",				       "",	   "not an https://"		    },
		{"Git",	"\"repository\":\"ext::sh -c id\"",				    "",		"neither https"	       },
		{"Git",	"\"repository\":\"--upload-pack=x\"",			      "",	  "neither https"		 },
		{"Git",	"\"repository\":\"-x@host:y\"",					"",	    "neither https"		   },
		{"Git",	"\"repository\":\"ssh://-oProxyCommand=x/y\"",		       "",	   "neither https"		  },
		{"Git",	"\"repository\":\"http://h/x\"",					 "",	     "neither https"		    },
		{"Git",	"\"repository\":\"https://h/x\",\"getOptions\":\"branch:-x\"",    "",
			"getOptions"													   },
		{"Git",	"\"repository\":\"https://h/x\",\"getOptions\":\"branch:a..b\"",	 "",
			"getOptions"													   },
		{"Git",	"\"repository\":\"https://h/x\",\"getOptions\":\"commitID:--x\"", "",
			"getOptions"													   },
		{"Git",	"\"repository\":\"https://h/x\",\"getOptions\":\"tag:x\"",	   "",
			"getOptions"													   },
		{"GitHub", "\"owner\":\"o\"",						"",	  "has no repository"	     },
		{"GitHub", "\"owner\":\"o/..\",\"repository\":\"r\"",			      "",
			"no repository of GitHub"											      },
		{"GitHub", "\"owner\":\"o\",\"repository\":\"r\",\"path\":\"a/../../b\"",	  "",
			"not below"													    },
		{"GitHub", "\"owner\":\"o\",\"repository\":\"r\",\"path\":\"/etc\"",	     "",
			"not below"													    },
		{"Git",	"\"repository\":\"https://u:s3cret@h/x\"",			   "",	       "use username and password"	  },
		{"Git",	"\"repository\":\"HTTPS://s3cret@h/x\"",				 "",	     "use username and password"	},
		{"Git",	"\"repository\":\"https://u:s3cret@h\"",				 "",	     "use username and password"	},
		{"Git",	"\"repository\":\"ssh://u:s3cret@h/x\"",				 "",	     "use username and password"	},
		{"Git",	"\"repository\":\"https://h/x?token=s3cret\"",		       "",	   "has a query"			},
		{"Git",	"\"repository\":\"https://h/x#s3cret\"",				 "",	     "has a query"		  },
		{"HTTP",	 "\"url\":\"https://u:s3cret@h/x\"",				     "",		 "use username and password"   },
		{"HTTP",	 "\"url\":\"https://u:s3cret@h?x\"",				     "",		 "use username and password"   },
		{"HTTP",	 "\"url\":\"gopher://u:s3cret@h/x\"",			      "",	  "use username and password"   },
		{"HTTP",	 "\"url\":\"http://h/x?token=s3cret\"",				"",	    "http://h/x is not encrypted" },
		{"HTTP",	 "\"url\":\"gopher://h/x?s3cret\"",				    "",		"gopher://h/x is not an https"},
		{"S3",     "\"path\":\"https://u:s3cret@h/b/k\"",			      "",	  "use username and password"   },
		{"Local",  "\"path\":\"etc/hostname\"",				       "",	   "not absolute"		 },
		{"Local",  "\"path\":\"/x\"",						"../x",	     "leads out"			},
		{"Local",  "\"path\":\"/x\"",						"a/../../x", "leads out"		     },
		{"Local",  "\"path\":\"/x\"",						"..",	   "leads out"		      },
		{"Text",	 "",							       "",		 "without a name"		 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fetch_spec s;
		struct hw_err err = HW_ERR_INIT;
		cr_assert_eq(parse(&s, rows[i].source, rows[i].info, rows[i].to, &err),
			HW_EVALIDATION, "%zu", i);
		cr_assert_not_null(strstr(hw_err_text(&err), rows[i].says), "%zu: %s", i,
			hw_err_text(&err));
		cr_assert_null(strstr(hw_err_text(&err), "s3cret"), "%zu", i);
		fetch_spec_free(&s);
	}
}

/* --- names
 * ------------------------------------------------------------------------------------------ */

Test(fetch_name, of_urls)
{
	static const struct {
		const char *url, *name; /* NULL: none */
	} rows[] = {
		{"https://h/a/b.sh",		     "b.sh"},
		{"https://h/a/b.sh?x=/y#z",	    "b.sh"},
		{"https://h/a%20b",		    "a b" },
		{"https://h/a%2",			  "a%2" },
		{"https://h/%zz",			  "%zz" },
		{"https://h/a%2fb",		    NULL	},
		{"https://h/..%2f..%2fetc%2fpasswd", NULL	 },
		{"https://h/%2e%2e",		     NULL	 },
		{"https://h/..",			 NULL  },
		{"https://h/.",			NULL  },
		{"https://h/a%00b",		    NULL	},
		{"https://h/a%0ab",		    NULL	},
		{"https://h/a/",			 NULL  },
		{"https://h",			      NULL  },
		{"https://h?x=/y",		   NULL  },
		{"",				 NULL	 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[FETCH_NAME_MAX + 1] = "";
		bool found = fetch_name_from_url(name, rows[i].url);
		cr_assert_eq(found, rows[i].name != NULL, "%s: %s", rows[i].url, name);
		if (found)
			cr_assert_str_eq(name, rows[i].name);
	}
	char url[600] = "https://h/", name[FETCH_NAME_MAX + 1];
	memset(url + 10, 'x', 256);
	cr_assert_not(fetch_name_from_url(name, url), "longer than a name may be");
	url[10 + 255] = '\0';
	cr_assert(fetch_name_from_url(name, url));
}

Test(fetch_name, of_headers)
{
	static const struct {
		const char *value, *name;
	} rows[] = {
		{" attachment; filename=\"a b.sh\"\r\n",	 "a b.sh"},
		{" attachment; filename=a.sh\r\n",		   "a.sh"	 },
		{"attachment;filename = a.sh ; x=y",	     "a.sh"  },
		{"attachment; x=\"filename=no;\"; filename=yes", "yes"   },
		{"attachment; FileName=\"a\\\"b\"",		    "a\"b"  },
		{"attachment; filename=\"../../etc/passwd\"",    NULL	  },
		{"attachment; filename=\"/etc/passwd\"",	 NULL    },
		{"attachment; filename=\"..\"",			NULL    },
		{"attachment; filename=\"\"",		      NULL	  },
		{"attachment; filename=\"a",		     NULL	 },
		{"attachment; filename*=UTF-8''x",		   NULL    },
		{"attachment; filename",			 NULL    },
		{"attachment",				   NULL	   },
		{"",					     NULL	 },
		{";;;;=;=",				      NULL	},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[FETCH_NAME_MAX + 1] = "";
		bool found =
			fetch_name_from_disposition(name, rows[i].value, strlen(rows[i].value));
		cr_assert_eq(found, rows[i].name != NULL, "%s: %s", rows[i].value, name);
		if (found)
			cr_assert_str_eq(name, rows[i].name);
	}
}

/* --- keys
 * ------------------------------------------------------------------------------------------- */

Test(fetch_aws, regions)
{
	static const struct {
		const char *url, *region;
	} rows[] = {
		{"https://s3.eu-central-1.amazonaws.com/b/k",	      "eu-central-1"},
		{"https://bucket.s3.us-west-2.amazonaws.com/k",	"us-west-2"   },
		{"https://s3-eu-west-1.amazonaws.com/b/k",	   "eu-west-1"   },
		{"https://s3.example.s3.ap-south-1.amazonaws.com/k", "ap-south-1"	 },
		{"https://s3.amazonaws.com/b/k",			 NULL	     },
		{"https://minio.example.com/b/k",			  NULL	      },
		{"no url",					   NULL	       },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char region[64] = "";
		bool found = aws_region_of(region, rows[i].url);
		cr_assert_eq(found, rows[i].region != NULL, "%s: %s", rows[i].url, region);
		if (found)
			cr_assert_str_eq(region, rows[i].region);
	}
}

Test(fetch_aws, the_default_profile_of_a_file)
{
	struct aws_keys k;
	char good[] = "# mine\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id = ID\n"
		      " aws_secret_access_key=SE=CRET\naws_session_token = T\n[more]\n"
		      "aws_access_key_id=no\n";
	char half[] = "[default]\naws_access_key_id = ID\n";
	char elsewhere[] = "[other]\naws_access_key_id = ID\naws_secret_access_key = S\n";

	cr_assert(aws_keys_parse(&k, good));
	cr_assert_str_eq(k.id, "ID");
	cr_assert_str_eq(k.secret, "SE=CRET");
	cr_assert_str_eq(k.session, "T");
	cr_assert_not(aws_keys_parse(&k, half));
	cr_assert_not(aws_keys_parse(&k, elsewhere));

	char *large = malloc(8192);
	memset(large, 'x', 8191);
	memcpy(large, "[default]\naws_access_key_id=", 28);
	large[8191] = '\0';
	cr_assert_not(aws_keys_parse(&k, large), "it does not fit");
	free(large);
}

Test(fetch_aws, the_environment_comes_first)
{
	struct aws_keys k;

	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
	setenv("AWS_REGION", "eu-north-1", 1);
	cr_assert(aws_keys_find(&k, "https://minio.example.com/b/k"));
	cr_assert_str_eq(k.id, "E");
	cr_assert_str_eq(k.region, "eu-north-1");
	unsetenv("AWS_ACCESS_KEY_ID");
	setenv("HOME", "/no/such/home", 1);
	cr_assert_not(aws_keys_find(&k, "https://minio.example.com/b/k"));
}

Test(fetch_aws, keys_sign_for_few_hosts)
{
	static const struct {
		const char *url, *own;
		bool may;
	} rows[] = {
		{"https://s3.eu-west-1.amazonaws.com/b/k",	   NULL,	 true },
		{"HTTPS://bucket.S3.AMAZONAWS.com?x",	      NULL,	    true },
		{"https://b.s3.cn-north-1.amazonaws.com.cn/k", NULL,	     true },
		{"http://s3.eu-west-1.amazonaws.com/b/k",	  NULL,		false},
		{"https://s3.amazonaws.com.evil.example/b",    NULL,	  false},
		{"https://evilamazonaws.com/b",		NULL,	      false},
		{"https://evil.example/s3.amazonaws.com",	  NULL,		false},
		{"https://evil.example?.amazonaws.com",	NULL,	      false},
		{"https://evil.example\\.amazonaws.com",	 NULL,	       false},
		{"https://s3.amazonaws.com:8443/b",	    NULL,	  false},
		{"https://minio:9000/b/k",			   NULL,	 false},
		{"https://minio:9000/b/k",			   "",	       false},
		{"https://minio:9000/b/k",			   "minio:9000", true },
		{"https://b.minio:9000/k",			   "minio:9000", true },
		{"https://xminio:9000/k",			  "minio:9000", false},
		{"https://minio/b/k",			      "minio:9000", false},
		{"http://minio:9000/b/k",			  "minio:9000", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(aws_may_sign(rows[i].url, rows[i].own), rows[i].may, "%s",
			rows[i].url);
}
