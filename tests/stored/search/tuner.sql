BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'stored');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'record','{"study": {"methods": ["kmeans", "vae_gmm"], "dataset": "points.npz", "labels": null, "trials": 8, "replicas": 2, "epochs": 20, "objective": "score", "use_labels": false, "sampler": "tpe", "scheduler": "asha", "seed": 0, "fixed": {"hidden_size": 16, "hidden_layers": 1, "latent_size": 2, "batch_size": 64, "likelihood": "gaussian", "n_components": 3}, "spaces": {}, "finalists": 2, "finalist_seeds": 2, "name": "stored", "register": "points"}, "identity": {"objective": "score", "use_labels": false, "replicas": 2, "epochs": 20, "sampler": "tpe", "scheduler": "asha", "seed": 0, "data": "1cc84ed185a369fab233a5a844bf60b341d2be0464e13208540de8535a010c73", "spaces": {"kmeans": {"space": "deefce5e473f4f0e", "settings": "8469b858a9041e25"}, "vae_gmm": {"space": "38705aa60f891f80", "settings": "5411e9ca05194f11"}}}, "searched": {"kmeans.n_components": 3, "kmeans.starts": {"choice": [1, 3, 10, 50]}, "kmeans.iterations": 300, "vae_gmm.n_components": 3, "vae_gmm.likelihood": "gaussian", "vae_gmm.latent_size": 2, "vae_gmm.hidden_size": 16, "vae_gmm.hidden_layers": 1, "vae_gmm.scale": {"float": [0.03, 0.5], "log": true, "when": {"likelihood": "gaussian"}}, "vae_gmm.learning_rate": {"float": [0.0003, 0.01], "log": true}, "vae_gmm.batch_size": 64, "vae_gmm.vae_epochs": {"int": [10, 150], "log": true}, "vae_gmm.covariance": {"choice": ["full", "diag"]}, "vae_gmm.starts": 4, "vae_gmm.temperature": 0.5}, "trials": 8, "schema": 1}');
INSERT INTO "study_user_attributes" VALUES(2,1,'lease','null');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,6.65795874931789266604e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,3,1.91662676889716554473e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,4,2.14145694249452678281e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,5,2.15870327628022773414e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,6,2.12861697673599303826e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,2,7,7.1969881327115292624e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,2,8,7.1969881327115292624e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,2,9,7.1969881327115292624e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,2,10,7.04703668205375888256e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,2,11,8.91120963473630567364e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,2,12,9.33327970486167446395e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,2,13,9.33327970486167446395e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,2,14,0.0880950394035479,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,2,15,8.71739079018295504042e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,2,16,9.67362366615246438428e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,2,17,1.01668855877739494619e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,2,18,1.07544997001483955134e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,2,19,1.069977671500961236e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,2,20,3.18824416686139477938e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,3,1,6.65795874931789266604e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(21,4,3,2.16677349410469510804e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(22,4,4,2.26226497912004276269e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(23,4,5,2.34850434129862395415e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(24,4,6,2.4675474308697303849e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(25,4,7,3.31473315859067807487e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(26,4,8,3.31473315859067807487e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(27,4,9,3.30007753249938140527e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(28,4,10,3.30041826050300968198e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(29,4,11,3.22905014996622941048e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(30,4,12,3.2841978181998721098e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(31,4,13,3.2841978181998721098e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(32,4,14,3.31025047396853400183e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(33,4,15,3.47083784031450237606e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(34,4,16,3.47083784031450237606e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(35,4,17,0.349566063844864,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(36,4,18,3.51149804901247863941e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(37,4,19,3.51458142654574312579e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(38,4,20,4.20920033833806772616e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(39,5,1,6.65795874931789266604e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(40,8,3,2.33557415760239112101e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(41,8,4,2.6945065992800731891e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(42,8,5,2.90422272521869584416e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(43,8,6,3.59895700534139217907e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(44,8,7,3.22847251874916529867e-01,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'method',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(2,1,'kmeans.starts',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 3, 10, 50]}}');
INSERT INTO "trial_params" VALUES(3,2,'method',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(4,2,'vae_gmm.learning_rate',0.001,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(5,2,'vae_gmm.vae_epochs',50.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 10, "high": 150}}');
INSERT INTO "trial_params" VALUES(6,2,'vae_gmm.covariance',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["full", "diag"]}}');
INSERT INTO "trial_params" VALUES(7,2,'vae_gmm.scale',0.2,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.03, "high": 0.5, "log": true}}');
INSERT INTO "trial_params" VALUES(8,3,'method',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(9,3,'kmeans.starts',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 3, 10, 50]}}');
INSERT INTO "trial_params" VALUES(10,4,'method',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(11,4,'vae_gmm.learning_rate',9.56145609161247527971e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(12,4,'vae_gmm.vae_epochs',52.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 10, "high": 150}}');
INSERT INTO "trial_params" VALUES(13,4,'vae_gmm.covariance',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["full", "diag"]}}');
INSERT INTO "trial_params" VALUES(14,4,'vae_gmm.scale',1.5185825623968063347e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.03, "high": 0.5, "log": true}}');
INSERT INTO "trial_params" VALUES(15,5,'method',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(16,5,'kmeans.starts',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 3, 10, 50]}}');
INSERT INTO "trial_params" VALUES(17,6,'method',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(18,6,'kmeans.starts',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 3, 10, 50]}}');
INSERT INTO "trial_params" VALUES(19,7,'method',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(20,7,'kmeans.starts',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 3, 10, 50]}}');
INSERT INTO "trial_params" VALUES(21,8,'method',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["kmeans", "vae_gmm"]}}');
INSERT INTO "trial_params" VALUES(22,8,'vae_gmm.learning_rate',8.31337153842435193362e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(23,8,'vae_gmm.vae_epochs',75.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 10, "high": 150}}');
INSERT INTO "trial_params" VALUES(24,8,'vae_gmm.covariance',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["full", "diag"]}}');
INSERT INTO "trial_params" VALUES(25,8,'vae_gmm.scale',1.41147543635605748901e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.03, "high": 0.5, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"kmeans.starts": 10, "method": "kmeans"}');
INSERT INTO "trial_system_attributes" VALUES(2,2,'fixed_params','{"vae_gmm.learning_rate": 0.001, "vae_gmm.vae_epochs": 50, "vae_gmm.covariance": "full", "vae_gmm.scale": 0.2, "method": "vae_gmm"}');
INSERT INTO "trial_system_attributes" VALUES(3,2,'completed_rung_0','0.19166267688971655');
INSERT INTO "trial_system_attributes" VALUES(4,2,'completed_rung_1','0.07196988132711529');
INSERT INTO "trial_system_attributes" VALUES(5,4,'completed_rung_0','0.2166773494104695');
INSERT INTO "trial_system_attributes" VALUES(6,4,'completed_rung_1','0.33000775324993814');
INSERT INTO "trial_system_attributes" VALUES(7,8,'completed_rung_0','0.2335574157602391');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'outcome','{"reason": null, "detail": "", "epoch": 1, "sd": 0.0, "replicas": [0.6657958749317893, 0.6657958749317893], "metrics": {"train/inertia": 1.3317054510116577, "score/value": 0.6657958749317893, "score/sd": 0.0, "score/best": 0.6657958749317893, "score/collapsed": 0.0, "score/diverged": 0.0, "score/largest_mass": 0.3958333333333333, "score/clusters_in_use": 3.0, "score/effective_k": 2.9648424366121064, "score/entropy": 0.0038029493298381567, "score/agreement": 1.0, "audit/hungarian": 1.0, "audit/majority": 1.0, "audit/nmi": 1.0, "audit/ami": 1.0, "audit/ari": 1.0, "audit/gmvae": 1.0, "audit/calibration_error": 0.0005614705927541788}, "seconds": 0.19144080700016275}');
INSERT INTO "trial_user_attributes" VALUES(2,2,'outcome','{"reason": null, "detail": "", "epoch": 20, "sd": 0.1510559125767314, "replicas": [0.42563707680746854, 0.21201175656481042], "metrics": {"train/loss": 46.95903778076172, "train/elbo": -46.95903778076172, "train/reconstruction": -46.83646011352539, "train/kl": 0.12257881462574005, "score/value": 0.3188244166861395, "score/sd": 0.1510559125767314, "score/best": 0.42563707680746854, "score/collapsed": 0.0, "score/diverged": 0.0, "score/largest_mass": 0.671875, "score/clusters_in_use": 2.0, "score/effective_k": 1.874636788012028, "score/entropy": 0.7142831683158875, "score/agreement": 0.18241423898338097, "audit/hungarian": 0.5677083333333334, "audit/majority": 0.5677083333333334, "audit/nmi": 0.42295449294258797, "audit/ami": 0.4157229298157303, "audit/ari": 0.29816507967578715, "audit/gmvae": 0.5208333333333333, "audit/calibration_error": 0.26113768500224976}, "seconds": 10.068277586000022}');
INSERT INTO "trial_user_attributes" VALUES(3,3,'outcome','{"reason": null, "detail": "", "epoch": 1, "sd": 0.0, "replicas": [0.6657958749317893, 0.6657958749317893], "metrics": {"train/inertia": 1.3317054510116577, "score/value": 0.6657958749317893, "score/sd": 0.0, "score/best": 0.6657958749317893, "score/collapsed": 0.0, "score/diverged": 0.0, "score/largest_mass": 0.3958333333333333, "score/clusters_in_use": 3.0, "score/effective_k": 2.9648424366121064, "score/entropy": 0.0038029500283300877, "score/agreement": 1.0, "audit/hungarian": 1.0, "audit/majority": 1.0, "audit/nmi": 1.0, "audit/ami": 1.0, "audit/ari": 1.0, "audit/gmvae": 1.0, "audit/calibration_error": 0.000561471825902973}, "seconds": 0.3153107870002714}');
INSERT INTO "trial_user_attributes" VALUES(4,4,'outcome','{"reason": null, "detail": "", "epoch": 20, "sd": 0.11729867395838614, "replicas": [0.5038627216139715, 0.33797734605364205], "metrics": {"train/loss": 77.17141723632812, "train/elbo": -77.17141723632812, "train/reconstruction": -76.93977355957031, "train/kl": 0.231642946600914, "score/value": 0.4209200338338068, "score/sd": 0.11729867395838614, "score/best": 0.5038627216139715, "score/collapsed": 0.0, "score/diverged": 0.0, "score/largest_mass": 0.53125, "score/clusters_in_use": 2.5, "score/effective_k": 2.431951418219279, "score/entropy": 0.9559089243412018, "score/agreement": 0.22070144922835735, "audit/hungarian": 0.7760416666666667, "audit/majority": 0.7760416666666667, "audit/nmi": 0.4860202539743024, "audit/ami": 0.47829364507930566, "audit/ari": 0.5185578442351072, "audit/gmvae": 0.7760416666666667, "audit/calibration_error": 0.30658360475619906}, "seconds": 8.759703318999982}');
INSERT INTO "trial_user_attributes" VALUES(5,5,'outcome','{"reason": null, "detail": "", "epoch": 1, "sd": 0.0, "replicas": [0.6657958749317893, 0.6657958749317893], "metrics": {"train/inertia": 1.3317054510116577, "score/value": 0.6657958749317893, "score/sd": 0.0, "score/best": 0.6657958749317893, "score/collapsed": 0.0, "score/diverged": 0.0, "score/largest_mass": 0.3958333333333333, "score/clusters_in_use": 3.0, "score/effective_k": 2.9648424366121064, "score/entropy": 0.0038029500283300877, "score/agreement": 1.0, "audit/hungarian": 1.0, "audit/majority": 1.0, "audit/nmi": 1.0, "audit/ami": 1.0, "audit/ari": 1.0, "audit/gmvae": 1.0, "audit/calibration_error": 0.0005614718344986995}, "seconds": 0.9667242999998962}');
INSERT INTO "trial_user_attributes" VALUES(6,6,'outcome','{"reason": "worker_lost"}');
INSERT INTO "trial_user_attributes" VALUES(7,7,'outcome','{"reason": "worker_lost"}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,6.65795874931789266604e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,3.18824416686139477938e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,6.65795874931789266604e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,4.20920033833806772616e-01,'FINITE');
INSERT INTO "trial_values" VALUES(5,5,0,6.65795874931789266604e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 20:36:08.676343','2026-11-28 20:36:08.893102');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-28 20:36:08.916818','2026-11-28 20:36:18.988038');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-28 20:36:19.028817','2026-11-28 20:36:19.347610');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-28 20:36:19.369164','2026-11-28 20:36:28.151868');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-28 20:36:28.192791','2026-11-28 20:36:29.162558');
INSERT INTO "trials" VALUES(6,5,1,'FAIL','2026-11-28 20:36:29.347618','2026-11-28 20:36:29.353251');
INSERT INTO "trials" VALUES(7,6,1,'FAIL','2026-11-28 20:36:29.355082','2026-11-28 20:36:29.355760');
INSERT INTO "trials" VALUES(8,7,1,'RUNNING','2026-11-28 20:36:29.359835',NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
