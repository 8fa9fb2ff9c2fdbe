# status and log of a tree of 1,000 files with 10 commits.
need git
export HOME="$w" GIT_AUTHOR_NAME=b GIT_AUTHOR_EMAIL=b@b GIT_COMMITTER_NAME=b GIT_COMMITTER_EMAIL=b@b
git init -q .
n=0
while [ $n -lt 1000 ]; do echo $n >f$n; n=$((n + 1)); done
git add . && git commit -qm first
n=1
while [ $n -lt 10 ]; do echo more >>f$n; git commit -qam $n; n=$((n + 1)); done
begin
for n in 1 2 3 4 5; do git status --short >status; git log --stat --oneline >log; done
end
right "$(wc -l <status) $(git log --oneline | wc -l)" "2 10"
