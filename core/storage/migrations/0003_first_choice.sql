-- Where the gateway meant to run a job whose request named no backend; `backend` follows the job to
-- where it runs. Null when the client chose.
ALTER TABLE jobs ADD COLUMN first_choice TEXT;
