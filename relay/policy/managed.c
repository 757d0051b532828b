#include "relay/policy/managed.h"

#include <string.h>

#define POLICY(statements)                 \
	"{\n"                              \
	"  \"Version\": \"2012-10-17\",\n" \
	"  \"Statement\": [\n" statements  \
	"\n  ]\n"                          \
	"}\n"

/* Who may run things may read what is run; who writes it decides what others run. */
#define READ_DOCUMENTS                                         \
	"\"ssm:GetDocument\", \"ssm:DescribeDocument\", "      \
	"\"ssm:ListDocuments\",\n"                              \
	"                \"ssm:ListDocumentVersions\""

/* clang-format off: documents are laid out as people read them. */
const struct managed_policy managed_policies[] = {
	{POLICY_ADMINISTRATOR,
	 "Everything, as any user of a node, root included.",
	 POLICY(
	 "    {\"Sid\": \"Everything\", \"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"},\n"
	 "    {\"Sid\": \"AsAnyUser\", \"Effect\": \"Allow\", \"Action\": [\"ssm:StartSession\", \"hawser:JoinSession\"],\n"
	 "     \"Resource\": \"*\",\n"
	 "     \"Condition\": {\"StringLike\": {\"hawser:RunAs\": [\"root\", \"*\"]}}}")},
	{"fleet-administrator",
	 "Nodes, activations, tags, sessions and commands; neither reads recordings nor changes who may do what.",
	 POLICY(
	 "    {\"Sid\": \"Fleet\", \"Effect\": \"Allow\", \"Action\": [\"ssm:*\", \"resource-groups:*\", \"s3:PutObject\", \"iam:Get*\", \"iam:List*\",\n"
	 "                \"hawser:PutAgentRelease\", \"hawser:ListAgentReleases\", \"hawser:DeleteAgentRelease\"],\n"
	 "     \"Resource\": \"*\"},\n"
	 "    {\"Sid\": \"AsRoot\", \"Effect\": \"Allow\", \"Action\": \"ssm:StartSession\", \"Resource\": \"*\",\n"
	 "     \"Condition\": {\"StringLike\": {\"hawser:RunAs\": [\"root\", \"*\"]}}},\n"
	 "    {\"Sid\": \"NotTheAuditorToo\", \"Effect\": \"Deny\", \"Action\": [\"hawser:GetRecording\", \"hawser:GetSealedInput\"], \"Resource\": \"*\"}")},
	{"operator",
	 "Sessions on every node as its default user, and the end of anybody's; attaches to its own and reads their recordings.",
	 POLICY(
	 "    {\"Sid\": \"Look\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"ssm:DescribeInstanceInformation\", \"ssm:GetConnectionStatus\", \"ssm:ListTagsForResource\",\n"
	 "                \"ssm:DescribeSessions\", " READ_DOCUMENTS "],\n"
	 "     \"Resource\": \"*\"},\n"
	 "    {\"Sid\": \"Sessions\", \"Effect\": \"Allow\", \"Action\": [\"ssm:StartSession\", \"ssm:TerminateSession\"], \"Resource\": \"*\"},\n"
	 "    {\"Sid\": \"OwnSessions\", \"Effect\": \"Allow\", \"Action\": [\"ssm:ResumeSession\", \"hawser:GetRecording\"],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:session/${aws:username}-*\"}")},
	{"developer",
	 "Sessions of one's own on nodes whose tag Team is that of the user; forwards to those nodes, not beyond.",
	 POLICY(
	 "    {\"Sid\": \"NodesOfTheTeam\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"ssm:DescribeInstanceInformation\", \"ssm:GetConnectionStatus\", \"ssm:ListTagsForResource\",\n"
	 "                \"ssm:StartSession\"],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:managed-instance/*\",\n"
	 "     \"Condition\": {\"StringEquals\": {\"ssm:resourceTag/Team\": \"${aws:PrincipalTag/Team}\"}}},\n"
	 "    {\"Sid\": \"Documents\", \"Effect\": \"Allow\", \"Action\": \"ssm:StartSession\",\n"
	 "     \"Resource\": [\"arn:aws:ssm:*:*:document/SSM-SessionManagerRunShell\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartInteractiveCommand\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartNonInteractiveCommand\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession\"]},\n"
	 "    {\"Sid\": \"ReadDocuments\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [" READ_DOCUMENTS "],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:document/*\"},\n"
	 "    {\"Sid\": \"OwnSessions\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"ssm:DescribeSessions\", \"ssm:ResumeSession\", \"ssm:TerminateSession\", \"hawser:GetRecording\"],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:session/${aws:username}-*\"}")},
	{"auditor",
	 "Reads the ledger, recordings, sessions, commands, users and policies, and watches shells; says what is kept; opens and changes nothing else.",
	 POLICY(
	 "    {\"Sid\": \"Read\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"cloudtrail:LookupEvents\", \"hawser:GetRecording\", \"hawser:GetSealedInput\", \"hawser:WatchSession\",\n"
	 "                \"hawser:PutHold\", \"hawser:LiftHold\", \"hawser:ListHolds\", \"hawser:ListWitnesses\", \"ssm:DescribeSessions\",\n"
	 "                \"ssm:DescribeInstanceInformation\", \"ssm:ListCommands\", \"ssm:ListCommandInvocations\",\n"
	 "                \"ssm:GetCommandInvocation\",\n"
	 "                \"ssm:ListTagsForResource\", \"ssm:DescribeActivations\", \"iam:Get*\", \"iam:List*\",\n"
	 "                \"resource-groups:GetGroup\", \"resource-groups:ListGroups\",\n"
	 "                \"iam:SimulatePrincipalPolicy\", " READ_DOCUMENTS "],\n"
	 "     \"Resource\": \"*\"},\n"
	 "    {\"Sid\": \"OpensNothing\", \"Effect\": \"Deny\",\n"
	 "     \"Action\": [\"ssm:StartSession\", \"ssm:ResumeSession\", \"ssm:SendCommand\", \"hawser:JoinSession\"],\n"
	 "     \"Resource\": \"*\"}")},
	{"node-owner",
	 "Sessions on nodes whose tag Owner is the user's name, and the end of any there; forwards to them, not beyond.",
	 POLICY(
	 "    {\"Sid\": \"OwnNodes\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"ssm:DescribeInstanceInformation\", \"ssm:GetConnectionStatus\", \"ssm:ListTagsForResource\",\n"
	 "                \"ssm:StartSession\", \"ssm:DescribeSessions\", \"ssm:TerminateSession\"],\n"
	 "     \"Resource\": \"*\",\n"
	 "     \"Condition\": {\"StringEquals\": {\"ssm:resourceTag/Owner\": \"${aws:username}\"}}},\n"
	 "    {\"Sid\": \"Documents\", \"Effect\": \"Allow\", \"Action\": \"ssm:StartSession\",\n"
	 "     \"Resource\": [\"arn:aws:ssm:*:*:document/SSM-SessionManagerRunShell\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartInteractiveCommand\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartNonInteractiveCommand\",\n"
	 "                  \"arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession\"]},\n"
	 "    {\"Sid\": \"ReadDocuments\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [" READ_DOCUMENTS "],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:document/*\"},\n"
	 "    {\"Sid\": \"OwnSessions\", \"Effect\": \"Allow\",\n"
	 "     \"Action\": [\"ssm:DescribeSessions\", \"ssm:ResumeSession\", \"ssm:TerminateSession\", \"hawser:GetRecording\"],\n"
	 "     \"Resource\": \"arn:aws:ssm:*:*:session/${aws:username}-*\"}")},
};
/* clang-format on */

const size_t managed_policy_count = sizeof(managed_policies) / sizeof(managed_policies[0]);

const struct managed_policy *
managed_policy_find(const char *name)
{
	for (size_t i = 0; i < managed_policy_count; i++)
		if (strcmp(managed_policies[i].name, name) == 0)
			return &managed_policies[i];
	return NULL;
}
